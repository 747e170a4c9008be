-- So many starts in a period, by GCRA, and what is beyond is dropped: a tenth of the limit and one may come at once,
-- then one an interval. KEYS[1] is the stem of the function's keys. ARGV: the time in milliseconds, what to do, and
-- with what. Asked again about the same event, it answers the same: a route may be done twice, and counts once.

local REMEMBERED_MS = 30 * 60 * 1000
-- Times in milliseconds since 1970 are as exact as a double can be, and no more.
local EPSILON_MS = 0.001
-- What is kept for a while is kept for longer by this: the clocks of workers are not quite the same.
local CLOCKS_DIFFER_MS = 60000

local stem, now, wanted = KEYS[1], tonumber(ARGV[1]), ARGV[2]

local function key(...)
  return stem .. ':' .. table.concat({ ... }, ':')
end

-- What an operator has set holds until it expires.
local function limit_of(given)
  local limit = cjson.decode(given)
  local set = redis.call('GET', key('set'))
  if set then
    set = cjson.decode(set)
    if not set['until'] or set['until'] > now then
      return set
    end
  end
  return limit
end

local function count(resource, limit, at)
  local name, interval = key('tat', resource), limit.period / limit.limit
  local ahead = interval * (math.floor(limit.limit / 10) + 1)
  local known, was = string.match(redis.call('GET', name) or '', '^(%S+) (%S+)$')
  known, was = tonumber(known) or 0, tonumber(was) or interval
  local changed = known > at and was ~= interval
  if changed then
    -- The limit was another then: as many starts count as did, at the rate that holds now.
    known = at + math.min((known - at) / was * interval, ahead)
  end
  local arrival = math.max(known, at) + interval
  local admitted = arrival - at <= ahead + EPSILON_MS
  if admitted or changed then
    local noted = admitted and arrival or known
    local kept_ms = math.ceil(math.max(noted - now, 0)) + CLOCKS_DIFFER_MS
    redis.call('SET', name, string.format('%.17g %.17g', noted, interval), 'PX', kept_ms)
  end
  return admitted
end

if wanted == 'set' then
  if ARGV[3] == '' then
    redis.call('DEL', key('set'))
  else
    redis.call('SET', key('set'), ARGV[3])
  end
  return 'ok'
end

-- What the database has of runs that started lately: {resource, time}, the oldest first.
if wanted == 'restore' then
  if redis.call('EXISTS', key('alive')) == 1 then
    return 'ok'
  end
  local limit = limit_of(ARGV[3])
  for _, start in ipairs(cjson.decode(ARGV[4])) do
    count(start[1], limit, start[2])
  end
  redis.call('SET', key('alive'), now)
  return 'ok'
end

if redis.call('EXISTS', key('alive')) == 0 then
  return 'lost'
end
local resource, event = ARGV[4], ARGV[5]
local said = redis.call('GET', key('said', event))
if not said then
  said = count(resource, limit_of(ARGV[3]), now) and 'yes' or 'no'
  redis.call('SET', key('said', event), said, 'PX', REMEMBERED_MS)
end
return said
