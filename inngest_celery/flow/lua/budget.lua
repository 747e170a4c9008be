-- The sum of the costs that steps report may not pass a cap within a window. What a step will cost is not known before
-- it ends: so there is room as long as the cap is not reached. The window slides in sixtieths of itself.

local PARTS = 60
-- A round trip whose answer got lost is made again so much later at most.
local REMEMBERED_MS = 60000

local function width(limit)
  return math.floor(limit.period / PARTS)
end

-- Parts of another width are another count: the database has it, too.
local function count_of(resource, limit)
  return key('spent', string.format('%d', width(limit)), resource)
end

local function spent(resource, limit)
  local total, soonest = 0, nil
  local parts = redis.call('HGETALL', count_of(resource, limit))
  for at = 1, #parts, 2 do
    local leaves = (tonumber(parts[at]) + 1) * width(limit) + limit.period
    if leaves > now then
      total = total + tonumber(parts[at + 1])
      soonest = math.min(soonest or leaves, leaves)
    end
  end
  return total, soonest
end

local function forget_old_parts(resource, limit)
  local name = count_of(resource, limit)
  for _, part in ipairs(redis.call('HKEYS', name)) do
    if (tonumber(part) + 1) * width(limit) + limit.period <= now then
      redis.call('HDEL', name, part)
    end
  end
  redis.call('PEXPIRE', name, limit.period + 2 * width(limit))
end

policies.budget = {
  room = function(resource, limit)
    -- Where a spent budget ends runs, it holds nobody up.
    return (limit.stop or spent(resource, limit) < limit.limit) and math.huge or 0
  end,
  next = function(resource, limit)
    local _, soonest = spent(resource, limit)
    return soonest
  end,
  reserve = function() end,
  begin = function() end,
  let_go = function() end,
  -- Tells whether the run has to end.
  is_over = function(resource, limit)
    return limit.stop and spent(resource, limit) >= limit.limit
  end,
  spend = function(resource, limit, payment, amount, at)
    if redis.call('SET', key('paid', payment), 1, 'NX', 'PX', REMEMBERED_MS) then
      local part = string.format('%.0f', math.floor(at / width(limit)))
      redis.call('HINCRBYFLOAT', count_of(resource, limit), part, string.format('%.17g', amount))
      forget_old_parts(resource, limit)
    end
  end,
  -- What the database has of one part; what it has not yet, it will have.
  recount = function(resource, limit, part, amount)
    local name = count_of(resource, limit)
    local counted = tonumber(redis.call('HGET', name, part) or 0)
    if amount > counted then
      redis.call('HSET', name, part, string.format('%.17g', amount))
    end
    forget_old_parts(resource, limit)
  end,
}
