/* Reads many event streams at once and says when what came. One thread, epoll.
 *
 * usage: sse PORT STREAMS STAGGER_US SECONDS BODIES
 * Stream i starts i * STAGGER_US after the first and sends line i of the file BODIES (one JSON body a line, used again from the first).
 * Prints one JSON document: for each stream status, events, done ([DONE] came), and microseconds from the request to the first byte of the body,
 * to the first event with text, and to the end (-1 where there was none); and percentiles of the time between two reads that held events.
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
#include <time.h>
#include <unistd.h>

#define MOST 2048
#define GAPS (1 << 20)
#define LINE 4096

enum { HEAD, SIZE, DATA, DATA_END, LAST, PLAIN, OVER };

struct stream {
    int fd, status, state, chunked, done;
    long events;
    int64_t begun, first, text, total, last;
    char head[8192];
    size_t head_size, left;
    char line[LINE]; /* the event line so far, cut at LINE */
    size_t line_size;
};

static struct stream all[MOST];
static int64_t gaps[GAPS];
static size_t gap_count;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* One line of the event stream is whole. */
static int line(struct stream *s, int64_t at) {
    size_t size = s->line_size;
    s->line[size < LINE ? size : LINE - 1] = 0;
    s->line_size = 0;
    if (strncmp(s->line, "data: ", 6)) return 0;
    if (!strncmp(s->line + 6, "[DONE]", 6)) {
        s->done = 1;
        return 0;
    }
    s->events++;
    char *found = strstr(s->line, "\"content\":");
    if (found && s->text < 0) {
        found += 10;
        while (*found == ' ') found++;
        if (found[0] == '"' && found[1] != '"') s->text = at - s->begun;
    }
    return 1;
}

static int text(struct stream *s, const char *data, size_t size, int64_t at) {
    int events = 0;
    if (size && s->first < 0) s->first = at - s->begun;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n') events += line(s, at);
        else if (data[i] != '\r' && s->line_size < LINE - 1) s->line[s->line_size++] = data[i];
    }
    return events;
}

static void head(struct stream *s) {
    s->status = (int)strtol(s->head + 9, NULL, 10);
    s->chunked = strcasestr(s->head, "transfer-encoding: chunked") != NULL;
    char *length = strcasestr(s->head, "content-length:");
    s->left = length ? strtoul(length + 15, NULL, 10) : (size_t)1 << 60;
    s->state = s->chunked ? SIZE : PLAIN;
    if (s->chunked) s->left = 0;
}

/* Takes bytes as they came; gives the number of events that became whole. */
static int take(struct stream *s, const char *data, size_t size, int64_t at) {
    int events = 0;
    size_t i = 0;
    while (i < size && s->state != OVER) {
        switch (s->state) {
        case HEAD:
            if (s->head_size == sizeof s->head - 1) { s->state = OVER; break; }
            s->head[s->head_size++] = data[i++];
            if (s->head_size > 3 && !memcmp(s->head + s->head_size - 4, "\r\n\r\n", 4)) head(s);
            break;
        case SIZE: {
            char c = data[i++];
            if (c == '\n') s->state = s->left ? DATA : LAST;
            else if (c != '\r') s->left = s->left * 16 + (size_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
            break;
        }
        case DATA: case PLAIN: {
            size_t n = size - i < s->left ? size - i : s->left;
            events += text(s, data + i, n, at);
            i += n;
            s->left -= n;
            if (!s->left) s->state = s->state == DATA ? DATA_END : OVER;
            break;
        }
        default: /* DATA_END, LAST: the line end after a chunk, the last one included */
            if (data[i++] == '\n') s->state = s->state == LAST ? OVER : SIZE;
        }
    }
    return events;
}

static void over(struct stream *s, int64_t at) {
    s->total = at - s->begun;
    s->state = OVER;
    close(s->fd);
    s->fd = -1;
}

static void readable(struct stream *s) {
    static char data[1 << 16];
    ssize_t n = recv(s->fd, data, sizeof data, 0);
    int64_t at = now();
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0 && take(s, data, (size_t)n, at)) {
        if (s->last && gap_count < GAPS) gaps[gap_count++] = at - s->last;
        s->last = at;
    }
    if (n <= 0 || s->state == OVER) over(s, at);
}

static void begin(struct stream *s, int port, const char *body, int poller) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    s->begun = now();
    s->first = s->text = s->total = -1;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    dprintf(s->fd, "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer sk-bench\r\ncontent-type: application/json\r\n"
            "content-length: %zu\r\nconnection: keep-alive\r\n\r\n%s", port, strlen(body), body);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
    epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &event);
}

static int order(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void report(int streams) {
    qsort(gaps, gap_count, sizeof *gaps, order);
    printf("{\"streams\":[");
    for (int i = 0; i < streams; i++) {
        struct stream *s = &all[i];
        printf("%s{\"status\":%d,\"events\":%ld,\"done\":%s,\"first_us\":%ld,\"text_us\":%ld,\"total_us\":%ld}", i ? "," : "", s->status, s->events,
               s->done ? "true" : "false", (long)s->first, (long)s->text, (long)s->total);
    }
    double at[] = {0.5, 0.99, 1};
    const char *names[] = {"gap_p50_us", "gap_p99_us", "gap_max_us"};
    printf("]");
    for (int i = 0; i < 3; i++) printf(",\"%s\":%ld", names[i], gap_count ? (long)gaps[(size_t)((double)(gap_count - 1) * at[i])] : -1L);
    printf("}\n");
}

int main(int count, char **given) {
    static char *bodies[MOST];
    if (count != 6) return 2;
    int port = atoi(given[1]), streams = atoi(given[2]), started = 0, running = 0, lines = 0;
    int64_t stagger = atol(given[3]), end = now() + atol(given[4]) * 1000000, origin = now();
    FILE *file = fopen(given[5], "r");
    if (!file || streams > MOST || streams < 1) fail("bodies or streams");
    size_t room = 0;
    while (lines < MOST && getline(&bodies[lines], &room, file) > 0) {
        bodies[lines][strcspn(bodies[lines], "\n")] = 0;
        lines++;
        room = 0;
    }
    if (!lines) fail("no bodies");
    int poller = epoll_create1(0);
    struct epoll_event found[256];
    while ((started < streams || running) && now() < end) {
        while (started < streams && now() >= origin + started * stagger) {
            begin(&all[started], port, bodies[started % lines], poller);
            started++;
            running++;
        }
        int wait = started < streams ? 1 : 100, n = epoll_wait(poller, found, 256, wait);
        for (int i = 0; i < n; i++) {
            struct stream *s = found[i].data.ptr;
            readable(s);
            running -= s->fd < 0;
        }
    }
    report(started);
    return 0;
}
