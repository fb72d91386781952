/* A scripted model server for measurements: one thread, epoll, no allocation per chunk. It must never be the bottleneck.
 *
 * POST /v1/chat/completions, answered by what the request asks for, so that one process serves every measurement:
 *   "stream":true   an SSE answer of "max_tokens" chunks, one token each
 *   "seed":N        N % 10000000 microseconds before each chunk (0: all at once), beginning at token N / 10000000 of the text
 *   otherwise       one JSON answer of fixed text
 * usage: upstream TEXTFILE    the file has one token a line, already escaped for JSON. Prints its port and serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096         /* descriptors */
#define REQUEST (1 << 20) /* bytes of one request */
#define SEED_GAPS 10000000ull

struct connection {
    char *in;
    size_t have;
    char *out; /* what the socket would not take yet */
    size_t out_from, out_to, out_room;
    int streaming, usage;
    uint64_t due, gap;
    long at, chunks, skip;
};

static struct connection all[MOST];
static char **tokens;
static long token_count;
static int poller, timer, highest;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void drop(int fd) {
    free(all[fd].in);
    free(all[fd].out);
    memset(&all[fd], 0, sizeof all[fd]);
    close(fd);
}

static void watch(int fd, int writing) {
    struct epoll_event event = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &event);
}

static void flush(int fd) {
    struct connection *c = &all[fd];
    while (c->out_from < c->out_to) {
        ssize_t n = send(fd, c->out + c->out_from, c->out_to - c->out_from, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            watch(fd, 1);
            return;
        }
        if (n <= 0) {
            drop(fd);
            return;
        }
        c->out_from += (size_t)n;
    }
    if (c->out_to) watch(fd, 0);
    c->out_from = c->out_to = 0;
}

static void put(struct connection *c, const char *data, size_t size) {
    if (c->out_to + size > c->out_room) {
        c->out_room = (c->out_to + size) * 2;
        c->out = realloc(c->out, c->out_room);
        if (!c->out) fail("memory");
    }
    memcpy(c->out + c->out_to, data, size);
    c->out_to += size;
}

static void put_event(struct connection *c, const char *json) {
    char line[1024];
    int size = (int)strlen(json) + 8;
    int n = snprintf(line, sizeof line, "%x\r\ndata: %s\n\n\r\n", size, json);
    put(c, line, (size_t)n);
}

#define CHUNK "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"demo-model\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}"

static void put_chunk(struct connection *c) {
    char delta[256], json[768];
    snprintf(delta, sizeof delta, "{\"content\":\"%.200s\"}", tokens[(c->skip + c->at) % token_count]);
    snprintf(json, sizeof json, CHUNK, delta, "null");
    put_event(c, json);
    c->at++;
}

static void put_end(struct connection *c) {
    char json[768];
    snprintf(json, sizeof json, CHUNK, "{}", "\"stop\"");
    put_event(c, json);
    if (c->usage) {
        snprintf(json, sizeof json,
                 "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"demo-model\",\"choices\":[],"
                 "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%ld,\"total_tokens\":%ld}}", c->chunks, c->chunks + 12);
        put_event(c, json);
    }
    put_event(c, "[DONE]");
    put(c, "0\r\n\r\n", 5);
    c->streaming = 0;
}

static uint64_t number(const char *body, size_t size, const char *key, uint64_t otherwise) {
    const char *found = memmem(body, size, key, strlen(key));
    if (!found) return otherwise;
    return strtoull(found + strlen(key), NULL, 10); /* skips a blank after the colon */
}

static int says(const char *body, size_t size, const char *word) { return memmem(body, size, word, strlen(word)) != NULL; }

static void answer(int fd, const char *body, size_t size) {
    struct connection *c = &all[fd];
    if (!says(body, size, "\"stream\":true") && !says(body, size, "\"stream\": true")) {
        static const char json[] =
            "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"demo-model\",\"choices\":[{\"index\":0,"
            "\"message\":{\"role\":\"assistant\",\"content\":\"The tide follows the moon: twice a day the water comes up the shore, and twice a day it "
            "goes back. On most coasts the two are about twelve hours apart, a little later each day, because the moon moves on while the earth "
            "turns.\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":48,\"total_tokens\":60}}";
        char head[128];
        int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", sizeof json - 1);
        put(c, head, (size_t)n);
        put(c, json, sizeof json - 1);
        flush(fd);
        return;
    }
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    char json[768];
    uint64_t seed = number(body, size, "\"seed\":", 0);
    c->chunks = (long)number(body, size, "\"max_tokens\":", number(body, size, "\"max_completion_tokens\":", 16));
    c->gap = seed % SEED_GAPS * 1000;
    c->skip = (long)(seed / SEED_GAPS);
    c->at = 0;
    c->usage = says(body, size, "include_usage");
    put(c, head, sizeof head - 1);
    snprintf(json, sizeof json, CHUNK, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
    put_event(c, json);
    if (c->gap) {
        c->streaming = 1;
        c->due = now() + c->gap;
    } else {
        while (c->at < c->chunks) put_chunk(c);
        put_end(c);
    }
    flush(fd);
}

/* One complete request at the front of the buffer is answered; more than one at a time is not what these clients send. */
static void parse(int fd) {
    struct connection *c = &all[fd];
    char *end = memmem(c->in, c->have, "\r\n\r\n", 4);
    if (!end) return;
    size_t head = (size_t)(end - c->in) + 4, length = 0;
    *end = 0;
    char *found = strcasestr(c->in, "content-length:");
    *end = '\r';
    if (found && found < end) length = strtoul(found + 15, NULL, 10);
    if (head + length > REQUEST) {
        drop(fd);
        return;
    }
    if (c->have < head + length) return;
    c->have = 0;
    answer(fd, c->in + head, length);
}

static void readable(int fd) {
    struct connection *c = &all[fd];
    if (!c->in && !(c->in = malloc(REQUEST + 1))) fail("memory");
    ssize_t n = recv(fd, c->in + c->have, REQUEST - c->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->have += (size_t)n;
    c->in[c->have] = 0;
    parse(fd);
}

/* Send what is due, one write for each chunk; arm the timer for the next. */
static void tick(void) {
    uint64_t present = now(), next = 0;
    for (int fd = 0; fd <= highest; fd++) {
        struct connection *c = &all[fd];
        if (!c->streaming) continue;
        if (c->due <= present) {
            if (c->at < c->chunks) put_chunk(c);
            if (c->at >= c->chunks) put_end(c);
            c->due += c->gap;
            flush(fd);
        }
        if (c->streaming && (!next || c->due < next)) next = c->due;
    }
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(next / 1000000000ull), .tv_nsec = (long)(next % 1000000000ull)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void load(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) fail(path);
    char line[256];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        tokens = realloc(tokens, (size_t)(token_count + 1) * sizeof *tokens);
        if (!tokens || !(tokens[token_count++] = strdup(line))) fail("memory");
    }
    fclose(file);
    if (!token_count) fail("no tokens");
}

static int open_listener(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 1024) || getsockname(fd, (struct sockaddr *)&address, &size)) fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void join(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        if (fd > highest) highest = fd;
    }
}

int main(int count, char **given) {
    if (count != 2) return 2;
    load(given[1]);
    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    int listener = open_listener();
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, found[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = timer;
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    for (;;) {
        int n = epoll_wait(poller, found, 256, -1), streams = 0;
        for (int i = 0; i < n; i++) {
            int fd = found[i].data.fd;
            uint64_t expired;
            if (fd == listener) join(listener);
            else if (fd == timer) streams = read(timer, &expired, sizeof expired) > 0;
            else {
                if (found[i].events & EPOLLOUT) flush(fd);
                if (found[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(fd);
                streams |= all[fd].streaming;
            }
        }
        if (streams) tick();
    }
}
