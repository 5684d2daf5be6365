-- Leases permits of one limit. One key per window of the limit; all of one call share a hash tag.
--
-- Each key is a hash: `n` the life of the server, `g` the life of these counters, `k` the last bucket seen, `s` the sum of
-- the buckets in force, `r` until when nodes are still reporting, and one field per bucket: its count.
--
-- Permits are counted in bucket k + 1 and may be spent until it ends. So that no window ever holds more than the limit,
-- buckets k - B to k + 1 together must not.
--
-- ARGV: time or '' | life of the server | must | want | room | room after | nodes | away (0/1) | probation | grace
--       then per window: limit | bucket length | buckets | generation or 0
--                        | refunds | (bucket, count) ... | reports | (age, count) ...
-- Times are microseconds.
local at = 0
local function take()
  at = at + 1
  return ARGV[at]
end
local function number() return tonumber(take()) end
local function whole(n) return string.format('%.0f', n) end

local now = take()
if now == '' then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
else
  now = tonumber(now)
end
local life = take()
local must, want, room, room_after, nodes = number(), number(), number(), number(), number()
local away = take() == '1'
local probation, grace = number(), number()

local OK, RECOVERING, LOST = 0, 1, 2
local status = OK
local windows = {}

for index, key in ipairs(KEYS) do
  local w = { key = key, limit = number(), length = number(), buckets = number() }
  local expected = number()
  w.refunds, w.reports = {}, {}
  for _, list in ipairs({ w.refunds, w.reports }) do
    for entry = 1, number() do
      list[entry] = { number(), number() }
    end
  end

  w.k = math.floor(now / w.length)
  local state = redis.call('HMGET', key, 'n', 'g', 'k', 's', 'r')
  if state[1] ~= life then
    -- New, or left over from a life of the server whose last changes may be lost.
    redis.call('DEL', key)
    w.generation, w.sum, w.reporting = now, 0, 0
    if probation > 0 then w.reporting = now + probation end
  else
    w.generation, w.sum, w.reporting = tonumber(state[2]), tonumber(state[4]), tonumber(state[5])
    local before = tonumber(state[3])
    -- The server's clock may step back; the counts do not.
    w.k = math.max(w.k, before)
    if w.k - before > w.buckets + 1 then
      redis.call('DEL', key)
      w.sum = 0
    elseif w.k > before then
      local left = {}
      for bucket = before - w.buckets, w.k - w.buckets - 1 do
        left[#left + 1] = whole(bucket)
      end
      for _, count in ipairs(redis.call('HMGET', key, unpack(left))) do
        if count then w.sum = w.sum - count end
      end
      redis.call('HDEL', key, unpack(left))
    end
  end
  w.now = math.max(now, w.k * w.length)
  if expected ~= 0 and expected ~= w.generation then status = LOST end
  windows[index] = w
end

local function add(w, bucket, count)
  redis.call('HINCRBY', w.key, whole(bucket), whole(count))
  w.sum = w.sum + count
end

if status == LOST or away then
  for _, w in ipairs(windows) do
    w.reporting = math.max(w.reporting, w.now + grace)
  end
end

local granted, retry, valid = 0, 0, nil
if status ~= LOST then
  local free, recovered = nil, 0
  for _, w in ipairs(windows) do
    for _, refund in ipairs(w.refunds) do
      local bucket, count = refund[1], refund[2]
      if bucket >= w.k - w.buckets then
        local present = tonumber(redis.call('HGET', w.key, whole(bucket)) or 0)
        add(w, bucket, -math.min(present, count))
      end
    end
    for _, report in ipairs(w.reports) do
      local bucket = math.floor((w.now - report[1]) / w.length)
      if bucket >= w.k - w.buckets then add(w, bucket, report[2]) end
    end
    free = math.min(free or w.limit, w.limit - w.sum)
    recovered = math.max(recovered, w.reporting - w.now)
    local left = (w.k + 2) * w.length - w.now
    valid = math.min(valid or left, left)
  end

  local fair = math.max(must, math.ceil(free / nodes))
  granted = math.max(0, math.min(want, free, fair))
  if recovered > 0 then
    status = RECOVERING
    granted = math.min(granted, room)
  end

  if granted > 0 then
    for _, w in ipairs(windows) do
      add(w, w.k + 1, granted)
    end
  else
    -- The moment from which every window has room again.
    for _, w in ipairs(windows) do
      local over = w.sum - w.limit + 1
      if over > 0 then
        local fields = {}
        for bucket = w.k - w.buckets, w.k + 1 do
          fields[#fields + 1] = whole(bucket)
        end
        local counts = redis.call('HMGET', w.key, unpack(fields))
        for index = 1, #fields do
          over = over - (counts[index] or 0)
          if over <= 0 then
            retry = math.max(retry, (w.k + index) * w.length - w.now)
            break
          end
        end
      end
    end
    if want > 0 and room == 0 then retry = math.max(retry, math.min(recovered, room_after)) end
  end
end

local reply = { status, granted, whole(valid or 0), whole(retry) }
for _, w in ipairs(windows) do
  redis.call('HSET', w.key, 'n', life, 'g', whole(w.generation), 'k', whole(w.k), 's', whole(w.sum), 'r', whole(w.reporting))
  redis.call('PEXPIRE', w.key, whole(math.ceil((w.buckets + 3) * w.length / 1000) + math.ceil(grace / 1000)))
  reply[#reply + 1] = whole(w.generation)
  reply[#reply + 1] = whole(w.k + 1)
  reply[#reply + 1] = whole(w.sum)
end
return reply
