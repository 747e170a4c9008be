-- So many starts in a period, by GCRA: the theoretical arrival time moves on by one emission interval for each start,
-- and may be ahead of the clock by as many intervals as may start at once. A token is taken when a job begins, not
-- when it is called: starts keep to the rate even where the messages that call them come late and together.

-- Times in milliseconds since 1970 are as exact as a double can be, and no more.
local EPSILON_MS = 0.001

local function interval(limit)
  return limit.period / limit.limit
end

local function ahead(limit)
  return interval(limit) * (limit.limit + limit.burst)
end

-- What is noted: the arrival time, and the interval that it was reckoned with.
local function noted(resource)
  local at, was = string.match(redis.call('GET', key('tat', resource)) or '', '^(%S+) (%S+)$')
  return tonumber(at), tonumber(was)
end

local function arrival(resource, limit)
  local known, was = noted(resource)
  if not known then
    -- Once Redis has lost what it knew, every bucket counts as just emptied: rather late than too many.
    local lost = tonumber(redis.call('GET', key('lost')) or nil)
    known = lost and lost + ahead(limit) or 0
  elseif known > now and was ~= interval(limit) then
    -- The limit was another then: as many starts count as did, at the rate that holds now.
    known = now + math.min((known - now) / was * interval(limit), ahead(limit))
  end
  return math.max(known, now)
end

local function note_arrival(resource, limit, at)
  -- An arrival time in the past means nothing: the key may go.
  local text = string.format('%.17g %.17g', at, interval(limit))
  redis.call('SET', key('tat', resource), text, 'PX', math.ceil(at - now) + CLOCKS_DIFFER_MS)
end

policies.throttle = {
  room = function(resource, limit)
    if limit.limit < 1 then
      return 0
    end
    local used = arrival(resource, limit) - now
    local tokens = math.floor((ahead(limit) - used + EPSILON_MS) / interval(limit))
    return tokens - redis.call('SCARD', key('called', resource))
  end,
  next = function(resource, limit)
    if limit.limit < 1 then
      return
    end
    local called = redis.call('SCARD', key('called', resource))
    local used = arrival(resource, limit) - now + (called + 1) * interval(limit)
    return now + math.ceil(used - ahead(limit) - EPSILON_MS)
  end,
  -- Somebody waits. If the limit was another, what counts of that passes at the new rate from now on.
  settle = function(resource, limit)
    local known, was = noted(resource)
    if limit.limit >= 1 and known and known > now and was ~= interval(limit) then
      note_arrival(resource, limit, arrival(resource, limit))
    end
  end,
  reserve = function(resource, job)
    redis.call('SADD', key('called', resource), job)
  end,
  begin = function(resource, job, limit)
    redis.call('SREM', key('called', resource), job)
    if not limit or limit.limit < 1 then
      return
    end
    note_arrival(resource, limit, arrival(resource, limit) + interval(limit))
  end,
  let_go = function(resource, job)
    redis.call('SREM', key('called', resource), job)
  end,
}
