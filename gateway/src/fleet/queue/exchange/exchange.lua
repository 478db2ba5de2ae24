-- One replica tells what it has served and that it lives, and hears the totals. The clock is the server's.
-- KEYS: replicas, totals. ARGV: replica, lease in ms, a new epoch, then pairs of a field and its tokens.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local rank = 0
local replicas = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, replica in ipairs(replicas) do
  if replica < ARGV[1] then rank = rank + 1 end
end
redis.call('HSETNX', KEYS[2], 'epoch', ARGV[3])
local answer = { tonumber(redis.call('HGET', KEYS[2], 'epoch')), rank, #replicas }
for at = 4, #ARGV, 2 do
  answer[#answer + 1] = redis.call('HINCRBY', KEYS[2], ARGV[at], ARGV[at + 1])
end
redis.call('EXPIRE', KEYS[1], 3600)
redis.call('EXPIRE', KEYS[2], 3600)
return answer
