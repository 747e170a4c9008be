-- What the gate knows of one job and of limits, for somebody who asks. Nothing is written, and the time it takes is
-- bounded. ARGV[2]: {job = …, line = …} or {needs = {{function, policy, resource}, …}}.

local MOST_HOLDERS = 5
local MOST_MEMBERS = 1000

local taken = {
  concurrency = function(resource)
    return redis.call('SCARD', key('in', resource))
  end,
  run_concurrency = function(resource)
    return redis.call('SCARD', key('in', resource)) + redis.call('SCARD', key('called', resource))
  end,
  throttle = function(resource, limit)
    return limit.limit + limit.burst - policies.throttle.room(resource, limit)
  end,
  budget = function(resource, limit)
    return (spent(resource, limit))
  end,
}

-- JSON has no infinity.
local function finite(number)
  return number and number < math.huge and number or nil
end

local function state_of(name, need)
  local policy, limit = policies[need.kind], limit_of(name, need.policy)
  local found = { policy = need.policy, resource = need.resource, limit = limit }
  if limit then
    found.taken = taken[need.kind](need.resource, limit)
    found.room = finite(policy.room(need.resource, limit))
    found.next = finite(policy.next(need.resource, limit))
  end
  if need.kind == 'concurrency' or need.kind == 'run_concurrency' then
    found.holders = redis.call('SRANDMEMBER', key('in', need.resource), MOST_HOLDERS)
  end
  return found
end

local function lines_of(group)
  return redis.call('ZRANGE', key('ready', group), 0, MOST_MEMBERS - 1)
end

-- How many jobs a member of a queue stands for.
local function size_of(member)
  local name = string.sub(member, 2)
  if string.sub(member, 1, 1) == 'l' then
    return redis.call('ZCARD', key('line', name))
  end
  local size = 0
  for _, line in ipairs(lines_of(name)) do
    size = size + redis.call('ZCARD', key('line', line))
  end
  return size
end

-- How many jobs of its own group go before a job.
local function before_in_group(job, line)
  local before = redis.call('ZRANK', key('line', line), job)
  local score = redis.call('ZSCORE', key('line', line), job)
  for _, other in ipairs(lines_of(parts(line).group)) do
    if other ~= line then
      before = before + redis.call('ZCOUNT', key('line', other), '-inf', '(' .. score)
    end
  end
  return before
end

-- How many jobs go before the one that has `before` others before it among its own: each of those who wait for the same
-- gets one job a turn. Beyond the first thousand, they are taken to have as many as they can use.
local function all_before(before, turn, resource)
  local total, name = before, key('wait', resource)
  for at, member in ipairs(redis.call('ZRANGE', name, 0, MOST_MEMBERS - 1)) do
    local rank = at - 1
    if rank ~= turn then
      total = total + math.min(size_of(member), before + (rank < turn and 1 or 0))
    end
  end
  local rest = redis.call('ZCARD', name) - MOST_MEMBERS
  if rest > 0 then
    total = total + rest * before + math.max(turn - MOST_MEMBERS, 0)
  end
  return total
end

local function standing(job, line)
  local info = known(job)
  if info and info.out then
    local state = info.owner and 'held' or 'called'
    local till = tonumber(redis.call('ZSCORE', key('calls'), job) or nil)
    return { state = state, owner = info.owner, till = till, times = info.times }, info.line
  end
  if not redis.call('ZRANK', key('line', line), job) then
    -- One that has started needs less.
    line = parts(line).group
  end
  local before = redis.call('ZRANK', key('line', line), job)
  if not before then
    return { state = 'unknown' }, line
  end
  local member = 'l' .. line
  local resource = redis.call('HGET', key('waits'), member)
  if not resource then
    member, before = 'g' .. parts(line).group, before_in_group(job, line)
    resource = redis.call('HGET', key('waits'), member)
  end
  local found = { state = 'waiting', before = before }
  if resource then
    local turn = redis.call('ZRANK', key('wait', resource), member)
    found.resource, found.turn, found.all_before = resource, turn, all_before(before, turn, resource)
  end
  return found, line
end

local wanted = cjson.decode(ARGV[2])
local answer = { alive = redis.call('EXISTS', key('alive')) == 1, needs = {} }
if wanted.job then
  local line
  answer.standing, line = standing(wanted.job, wanted.line)
  for _, need in ipairs(parts(line).needs) do
    answer.needs[#answer.needs + 1] = state_of(parts(line).name, need)
  end
else
  for _, asked in ipairs(wanted.needs) do
    local need = { policy = asked[2], kind = string.match(asked[2], '^[^.]*'), resource = asked[3] }
    answer.needs[#answer.needs + 1] = state_of(asked[1], need)
  end
end
return cjson.encode(answer)
