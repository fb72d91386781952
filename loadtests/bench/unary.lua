-- wrk: unary chat requests, each with a prompt not seen before; a summary as one line of JSON.
local prompts, number = {}, 0

function init(arguments)
    for line in io.lines(arguments[1]) do prompts[#prompts + 1] = line end
    number = (tonumber(arguments[2]) or 0) * 10000000
    wrk.method = "POST"
    wrk.headers["content-type"] = "application/json"
    wrk.headers["authorization"] = "Bearer sk-bench"
end

function request()
    number = number + 1
    local text = prompts[number % #prompts + 1] .. " (" .. number .. ")"
    return wrk.format(nil, nil, nil, '{"model":"demo-model","messages":[{"role":"user","content":"' .. text .. '"}]}')
end

function done(summary, latency, requests)
    local bad = summary.errors
    print(string.format(
        '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"bad_status":%d,"failed":%d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max, bad.status,
        bad.connect + bad.read + bad.write + bad.timeout))
end
