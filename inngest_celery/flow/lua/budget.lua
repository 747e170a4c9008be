-- The sum of the costs that steps report may not pass a cap within a window. What a step will cost is not known before
-- it ends: so room is there as long as the cap is not reached. The window slides in sixtieths of itself,
-- each known by the time at which it began.

local PARTS = 60

local function spent(resource, limit)
  local width, total, oldest = limit.period / PARTS, 0, nil
  local parts = redis.call('HGETALL', key('spent', resource))
  for at = 1, #parts, 2 do
    local counts_until = tonumber(parts[at]) + width + limit.period
    if counts_until > now then
      total = total + tonumber(parts[at + 1])
      oldest = math.min(oldest or counts_until, counts_until)
    end
  end
  return total, oldest
end

policies.budget = {
  room = function(resource, limit)
    return spent(resource, limit) < limit.limit and math.huge or 0
  end,
  next = function(resource, limit)
    local _, oldest = spent(resource, limit)
    return oldest and math.ceil(oldest)
  end,
  reserve = function() end,
  begin = function() end,
  let_go = function() end,
  spend = function(resource, limit, amount, at)
    local width = limit.period / PARTS
    local name = key('spent', resource)
    for _, part in ipairs(redis.call('HKEYS', name)) do
      if tonumber(part) + width + limit.period <= now then
        redis.call('HDEL', name, part)
      end
    end
    redis.call('HINCRBYFLOAT', name, string.format('%.17g', math.floor(at / width) * width), string.format('%.17g', amount))
    redis.call('PEXPIRE', name, math.ceil(limit.period + width) + CLOCKS_DIFFER_MS)
  end,
}
