-- guichet:1. All limits of one organization, in one atomic step. A change of keys or meaning takes a new number, in the
-- prefix of the keys too: replicas of two versions then count apart instead of wrongly.
--
-- KEYS[1] is `guichet:1:{organization}`, and the prefix of what else is kept; the counters of the chain follow.
--   :org     hash   at: birth of these counters; asked: when the past was last asked for; past: 1 when it was given
--   :open    hash   ticket -> what it holds and where
--   :leases  zset   ticket -> when its replica is taken for dead
--   :reaped  zset   tickets given back for their dead replica: their settlement, if it comes, charges in full
--   :charged zset   tickets counted elsewhere during an outage, and charged since
--   counters: hash of a minute {s sum, o oldest step, l latest step, <step> amount}, of a day or month {w start, n},
--   of slots {n}; `<counter>:<project>` is a project's part of a counter with guarantees.
--
-- ARGV: operation, time (0: the server's), ticket, lease in ms, then by operation. Times are milliseconds.
if redis.replicate_commands then redis.replicate_commands() end

local STEP, STEPS = 200, 301
local STEPPED_BACK = 25 -- a clock that went back by more steps than this was set, not corrected
local MINUTE_TTL, ORGANIZATION_TTL, DAY = 65000, 3456000000, 86400000
local REAP = 100

local base, operation, ticket, lease = KEYS[1], ARGV[1], ARGV[3], tonumber(ARGV[4])
local now = tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local step = math.floor(now / STEP)
local cursor = 4
local function text()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function number() return tonumber(text()) end
local function whole(value) return string.format('%.0f', value) end

-- Days and months: start, end, end of the next; computed by the caller, chosen here.
local period = {}
local function read_periods()
  for _, kind in ipairs({ 'day', 'month' }) do
    local from, to, next_to = number(), number(), number()
    if now < from or now >= next_to then return false end
    if now >= to then from, to, next_to = to, next_to, next_to end
    period[kind] = { from = from, to = to, next_to = next_to }
  end
  return true
end

local function roll_minute(key)
  local head = redis.call('HMGET', key, 's', 'o', 'l')
  if not head[1] then return 0, nil end
  local sum, oldest, latest = tonumber(head[1]), tonumber(head[2]), tonumber(head[3])
  if step >= latest + STEPS then
    redis.call('DEL', key)
    return 0, nil
  end
  if step < latest - STEPPED_BACK then
    -- Nobody is freed, and nobody waits longer than a minute: all counts as of now.
    redis.call('DEL', key)
    redis.call('HSET', key, 's', whole(sum), 'o', step, 'l', step, step, whole(sum))
    redis.call('PEXPIRE', key, MINUTE_TTL)
    return sum, step
  end
  if oldest + STEPS <= step then
    local gone = {}
    while oldest + STEPS <= step do
      gone[#gone + 1] = whole(oldest)
      oldest = oldest + 1
    end
    for _, amount in ipairs(redis.call('HMGET', key, unpack(gone))) do
      if amount then sum = sum - tonumber(amount) end
    end
    redis.call('HDEL', key, unpack(gone))
    redis.call('HSET', key, 's', whole(sum), 'o', whole(oldest))
  end
  return sum, latest
end

local function add_minute(key, amount, at)
  roll_minute(key)
  local head = redis.call('HMGET', key, 'o', 'l')
  if not head[1] or at < tonumber(head[1]) then redis.call('HSET', key, 'o', whole(at)) end
  if not head[2] or at > tonumber(head[2]) then redis.call('HSET', key, 'l', whole(at)) end
  redis.call('HINCRBY', key, 's', whole(amount))
  redis.call('HINCRBY', key, whole(at), whole(amount))
  redis.call('PEXPIRE', key, MINUTE_TTL)
  return at
end

local function roll_tally(key, kind)
  local p = period[kind]
  local head = redis.call('HMGET', key, 'w', 'n')
  local start, count = tonumber(head[1] or p.from), tonumber(head[2] or 0)
  -- A clock set back over midnight stays in the later day; one that comes from farther keeps its count.
  if start ~= p.from and start ~= p.to then
    if start < p.from then count = 0 end
    start = p.from
  end
  return start, count, (start == p.to and p.next_to or p.to)
end

local function set_tally(key, start, count, to)
  redis.call('HSET', key, 'w', whole(start), 'n', whole(count))
  redis.call('PEXPIRE', key, whole(to - now + DAY))
end

local function slots(key) return tonumber(redis.call('HGET', key, 'n') or 0) end

-- used, milliseconds until nothing is
local function look(key, kind)
  if kind == 'minute' then
    local sum, latest = roll_minute(key)
    return sum, latest and math.max(0, (latest + STEPS) * STEP - now) or 0
  elseif kind == 'slots' then
    return slots(key), 0
  end
  local _, count, to = roll_tally(key, kind)
  return count, count > 0 and to - now or 0
end

-- Returns the place to take it back from.
local function add(key, kind, amount)
  if kind == 'minute' then
    return add_minute(key, amount, step)
  elseif kind == 'slots' then
    redis.call('HINCRBY', key, 'n', amount)
    redis.call('PEXPIRE', key, DAY)
    return 0
  end
  local start, count, to = roll_tally(key, kind)
  set_tally(key, start, count + amount, to)
  return start
end

local function take_back(key, kind, place, amount)
  if kind == 'minute' then
    roll_minute(key)
    local held = tonumber(redis.call('HGET', key, whole(place)) or 0)
    local back = math.min(held, amount)
    if back > 0 then
      redis.call('HINCRBY', key, whole(place), whole(-back))
      redis.call('HINCRBY', key, 's', whole(-back))
    end
  elseif kind == 'slots' then
    local left = slots(key) - amount
    if left > 0 then redis.call('HSET', key, 'n', left) else redis.call('DEL', key) end
  else
    local start, count, to = roll_tally(key, kind)
    if start == place then set_tally(key, start, math.max(0, count - amount), to) end
  end
end

local function weight(meter, input, output)
  if meter == 'tokens' then return input + output end
  if meter == 'input' then return input end
  if meter == 'output' then return output end
  return 1
end

local function each_key(key, share, act)
  act(key)
  if share then act(share) end
end

-- Ends a ticket: charges what was used, or gives all back. Tells whether it was open.
local function close(id, input, output, release)
  local packed = redis.call('HGET', base .. ':open', id)
  if not packed then return false end
  redis.call('HDEL', base .. ':open', id)
  redis.call('ZREM', base .. ':leases', id)
  local held_input, held_output, taken = unpack(cmsgpack.unpack(packed))
  for _, one in ipairs(taken) do
    local key, share, kind, meter, place = unpack(one)
    local held = weight(meter, held_input, held_output)
    local spent = (release or kind == 'slots') and 0 or weight(meter, input, output)
    each_key(key, share, function(counter)
      if spent > held then
        add(counter, kind, spent - held)
      elseif spent < held then
        take_back(counter, kind, place, held - spent)
      end
    end)
  end
  return true
end

local function remember_ticket(set, id)
  redis.call('ZREMRANGEBYSCORE', base .. set, '-inf', now - DAY)
  local fresh = redis.call('ZADD', base .. set, 'NX', now, id) == 1
  redis.call('PEXPIRE', base .. set, 2 * DAY)
  return fresh
end

local function reap()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. ':leases', '-inf', now, 'LIMIT', 0, REAP)) do
    redis.call('ZREM', base .. ':leases', id)
    if close(id, 0, 0, true) then remember_ticket(':reaped', id) end
  end
end

-- The chain: for each limit its kind, meter, value, and the guaranteed shares of projects.
local project
local function read_chain()
  project = text()
  local limits = {}
  for index = 1, number() do
    local limit = { key = KEYS[index + 1], kind = text(), meter = text(), max = number(), others = {}, sure = 0 }
    for _ = 1, number() do
      local other, guaranteed = text(), number()
      if other == project then
        limit.share = limit.key .. ':' .. project
      else
        limit.sure = limit.sure + guaranteed
        limit.others[#limit.others + 1] = { key = limit.key .. ':' .. other, guaranteed = guaranteed }
      end
    end
    limits[index] = limit
  end
  return limits
end

local function look_at(limit)
  limit.used, limit.resets = look(limit.key, limit.kind)
  limit.held = 0
  for _, other in ipairs(limit.others) do
    other.used = look(other.key, limit.kind)
    limit.held = limit.held + math.max(0, other.guaranteed - other.used)
  end
end

local function steps_of(key)
  local flat, steps = redis.call('HGETALL', key), {}
  for index = 1, #flat, 2 do
    local at = tonumber(flat[index])
    if at then steps[at] = tonumber(flat[index + 1]) end
  end
  return steps
end

-- Milliseconds until this limit lets the ask through: -2 for never.
local function wait(limit, asked)
  if asked + limit.sure > limit.max then return -2 end
  if limit.kind == 'slots' then return 1000 end
  if limit.kind ~= 'minute' then return limit.resets end
  local steps, order = steps_of(limit.key), {}
  for at in pairs(steps) do order[#order + 1] = at end
  table.sort(order)
  local used = limit.used
  for _, other in ipairs(limit.others) do other.steps = steps_of(other.key) end
  for _, at in ipairs(order) do
    used = used - steps[at]
    local held = 0
    for _, other in ipairs(limit.others) do
      other.used = other.used - (other.steps[at] or 0)
      held = held + math.max(0, other.guaranteed - other.used)
    end
    if used + held + asked <= limit.max then return (at + STEPS) * STEP - now end
  end
  return limit.resets
end

local function charge(limits, input, output)
  for _, limit in ipairs(limits) do
    if limit.kind ~= 'slots' then
      each_key(limit.key, limit.share, function(key) add(key, limit.kind, weight(limit.meter, input, output)) end)
    end
  end
end

-- Whether to ask for this organization's past: once, and again every five seconds until it is given.
local function wants_past()
  local org = redis.call('HMGET', base .. ':org', 'at', 'asked', 'past')
  if not org[1] then redis.call('HSET', base .. ':org', 'at', whole(now)) end
  local wants = not org[3] and (not org[2] or now >= tonumber(org[2]) + 5000 or now < tonumber(org[2]) - 5000)
  if wants then redis.call('HSET', base .. ':org', 'asked', whole(now)) end
  redis.call('PEXPIRE', base .. ':org', ORGANIZATION_TTL)
  return wants and 1 or 0
end

if operation == 'beat' then
  redis.call('ZREMRANGEBYSCORE', base, '-inf', now)
  redis.call('ZADD', base, whole(now + lease), ticket)
  redis.call('PEXPIRE', base, whole(lease))
  return { redis.call('ZCARD', base), now }
end

if operation == 'renew' then
  while cursor < #ARGV do redis.call('ZADD', base .. ':leases', 'XX', whole(now + lease), text()) end
  return { 1, now }
end

if not read_periods() then return { -1, now } end

if operation == 'reserve' then
  local input, output = number(), number()
  local limits = read_chain()
  reap()
  local reply, refused = { 1, now, wants_past() }, false
  for _, limit in ipairs(limits) do
    local asked = weight(limit.meter, input, output)
    look_at(limit)
    limit.wait = -1
    if limit.used + limit.held + asked > limit.max then
      refused = true
      limit.wait = wait(limit, asked)
    end
  end
  local taken = {}
  if refused then
    reply[1] = 0
  else
    for index, limit in ipairs(limits) do
      local asked = weight(limit.meter, input, output)
      local place
      each_key(limit.key, limit.share, function(key) place = add(key, limit.kind, asked) end)
      taken[index] = { limit.key, limit.share or false, limit.kind, limit.meter, place }
      limit.used, limit.resets = look(limit.key, limit.kind)
    end
    redis.call('HSET', base .. ':open', ticket, cmsgpack.pack({ input, output, taken }))
    redis.call('ZADD', base .. ':leases', whole(now + lease), ticket)
    redis.call('PEXPIRE', base .. ':open', ORGANIZATION_TTL)
    redis.call('PEXPIRE', base .. ':leases', ORGANIZATION_TTL)
  end
  for _, limit in ipairs(limits) do
    for _, value in ipairs({ limit.used, math.max(0, limit.max - limit.used - limit.held), limit.resets, limit.wait }) do
      reply[#reply + 1] = value
    end
  end
  return reply
end

if operation == 'read' then
  reap()
  local reply = { 1, now, wants_past() }
  for _, limit in ipairs(read_chain()) do
    look_at(limit)
    for _, value in ipairs({ limit.used, math.max(0, limit.max - limit.used - limit.held), limit.resets, -1 }) do
      reply[#reply + 1] = value
    end
  end
  return reply
end

if operation == 'settle' then
  local input, output = number(), number()
  if close(ticket, input, output, false) then return { 1, now } end
  if redis.call('ZREM', base .. ':reaped', ticket) == 1 then
    charge(read_chain(), input, output)
    return { 1, now }
  end
  return { 0, now }
end

if operation == 'release' then
  if close(ticket, 0, 0, true) then return { 1, now } end
  return { redis.call('ZREM', base .. ':reaped', ticket), now }
end

-- What passed uncounted during an outage. Of what is older than these counters, the usage records tell.
if operation == 'charge' then
  local at, input, output = number(), number(), number()
  local birth = tonumber(redis.call('HGET', base .. ':org', 'at') or now)
  if at < birth or not remember_ticket(':charged', ticket) then return { 0, now } end
  charge(read_chain(), input, output)
  return { 1, now }
end

-- The past, once: only what is older than these counters.
if operation == 'preload' then
  wants_past()
  local org = redis.call('HMGET', base .. ':org', 'at', 'past')
  if org[2] then return { 0, now } end
  redis.call('HSET', base .. ':org', 'past', 1)
  local counters = number()
  for index = 1, counters do
    local key, kind, share = KEYS[index + 1], text(), text()
    local at, amount = number(), number()
    if at < tonumber(org[1]) then
      each_key(key, share ~= '' and key .. ':' .. share or nil, function(counter)
        if kind == 'minute' then
          local past = math.floor(at / STEP)
          if past + STEPS > step then add_minute(counter, amount, past) end
        elseif kind ~= 'slots' then
          local start, count, to = roll_tally(counter, kind)
          if at >= start then set_tally(counter, start, count + amount, to) end
        end
      end)
    end
  end
  return { 1, now }
end

return redis.error_reply('guichet: unknown operation')
