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

local function arrival(resource, limit)
  local known = tonumber(redis.call('GET', key('tat', resource)) or nil)
  if not known then
    -- Once Redis has lost what it knew, every bucket counts as just emptied: rather late than too many.
    local lost = tonumber(redis.call('GET', key('lost')) or nil)
    known = lost and lost + ahead(limit) or 0
  end
  return math.max(known, now)
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
  reserve = function(resource, job)
    redis.call('SADD', key('called', resource), job)
  end,
  begin = function(resource, job, limit)
    redis.call('SREM', key('called', resource), job)
    if not limit or limit.limit < 1 then
      return
    end
    local moved = arrival(resource, limit) + interval(limit)
    -- An arrival time in the past means nothing: the key may go.
    redis.call('SET', key('tat', resource), string.format('%.17g', moved), 'PX', math.ceil(moved - now) + CLOCKS_DIFFER_MS)
  end,
  let_go = function(resource, job)
    redis.call('SREM', key('called', resource), job)
  end,
}
