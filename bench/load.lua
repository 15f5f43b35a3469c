-- One kind of request, every answer checked: status 200, the id and the echoed text.
local text = os.getenv('BENCH_TEXT')
local wrong = 0
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  wrk.method = 'POST'
  wrk.body = os.getenv('BENCH_BODY')
  for line in string.gmatch(os.getenv('BENCH_HEADERS'), '[^\n]+') do
    local name, value = string.match(line, '^([^:]+): (.*)$')
    wrk.headers[name] = value
  end
end

wrong_answers = 0
function response(status, headers, body)
  if status ~= 200 or not string.find(body, text, 1, true) or not string.find(body, '"id":7', 1, true) then
    wrong_answers = wrong_answers + 1
  end
end

function done(summary, latency)
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get('wrong_answers')
  end
  local e = summary.errors
  io.write(string.format(
    '\nBENCH {"requests":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,"wrong":%d,"socketErrors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), wrong,
    e.connect + e.read + e.write + e.timeout))
end
