-- Says that a node lives, and tells it how many do and its place among them.
--
-- KEYS: a sorted set of node names by the time they were last heard of.
-- ARGV: name | microseconds after which a silent node counts as gone, or 0 to take leave
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local patience = tonumber(ARGV[2])
if patience == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return { 0, 0 }
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - patience))
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(patience / 1000) * 2))
-- Ranks by name, not by time, so that all nodes see the same order.
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
table.sort(names)
for place, name in ipairs(names) do
  if name == ARGV[1] then return { #names, place - 1 } end
end
return { #names, 0 }
