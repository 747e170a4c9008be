-- The operations, each a table {name, …}; done in order, in one round trip.

local operations = {}

-- A job that is due wants to go. `dead`: who held it has let its lease in the database run out.
function operations.enter(job, line, score, dead)
  local info = known(job)
  if info and info.out then
    if not info.owner then
      -- Called before; its hint is to be sent again.
      called[#called + 1] = job
      return 'called'
    end
    if not dead then
      return 'held'
    end
    give_back(job, info)
    redis.call('HDEL', key('info'), job)
  end
  stand_in_line(job, line, score)
end

-- A worker has the job's message. It may go if it was called, or if there is room right now.
function operations.begin(job, line, score, owner, lease)
  local info = known(job)
  if info and info.owner then
    return info.owner == owner and 'ok' or 'held'
  end
  if not info or not info.out then
    stand_in_line(job, line, score)
    info = known(job)
    if not info or not info.out then
      return 'wait'
    end
  end
  for at = #called, 1, -1 do
    if called[at] == job then
      table.remove(called, at)
    end
  end
  each_need(info.line, function(policy, resource, limit)
    policy.begin(resource, job, limit)
  end)
  info.owner = owner
  note(job, info)
  redis.call('ZADD', key('calls'), now + lease, job)
  local answer = 'ok'
  each_need(info.line, function(policy, resource, limit)
    if limit and policy.is_over and policy.is_over(resource, limit) then
      answer = 'over'
    end
  end)
  return answer
end

-- A worker executes this job, whatever was thought: its lease is prolonged, or it is taken up again.
function operations.hold(job, line, score, owner, till)
  local info = known(job)
  if info and info.owner and info.owner ~= owner then
    return 'held'
  end
  if not info or not info.out then
    leave_line(job, info and info.line or line)
    info = { line = line, score = score, times = 1, out = true }
    each_need(line, function(policy, resource)
      policy.reserve(resource, job)
    end)
  end
  if not info.owner then
    each_need(info.line, function(policy, resource, limit)
      policy.begin(resource, job, limit)
    end)
  end
  info.owner = owner
  note(job, info)
  redis.call('ZADD', key('calls'), till, job)
  pump_all()
  return 'ok'
end

-- Somebody executes a job that others may have by now: its lease is prolonged, if it is still there.
function operations.prolong(job, owner, till)
  local info = known(job)
  if info and info.owner == owner then
    redis.call('ZADD', key('calls'), till, job)
  end
end

-- Who has begun a job has found that another one executes it.
function operations.pass(job, owner, to, till)
  local info = known(job)
  if info and info.owner == owner then
    info.owner = to
    note(job, info)
    redis.call('ZADD', key('calls'), till, job)
  end
end

-- The job is done, or goes on later.
function operations.release(job, owner)
  local info = known(job)
  if info and info.owner == owner then
    give_back(job, info)
    redis.call('HDEL', key('info'), job)
    pump_all()
  end
end

-- A process is gone: whatever it held is free. Under which names is not known, and this is rare.
function operations.bury(owner)
  for _, job in ipairs(redis.call('ZRANGE', key('calls'), 0, -1)) do
    local info = known(job)
    if info and info.owner == owner then
      give_back(job, info)
      redis.call('HDEL', key('info'), job)
    end
  end
  pump_all()
end

-- There is no such job to do any more. `line`: where it stands; needed only for one that was never called.
function operations.forget(job, line)
  local info = known(job)
  if info and info.owner then
    return 'held'
  end
  if info and info.out then
    give_back(job, info)
  elseif info or line then
    leave_line(job, info and info.line or line)
  end
  redis.call('HDEL', key('info'), job)
  pump_all()
end

-- A run has ended: its place among the runs is free.
function operations.leave(run, resource)
  redis.call('SREM', key('in', resource), run)
  dirty[#dirty + 1] = resource
  pump_all()
end

-- A run that has started and not ended has a place among the runs.
function operations.stay(run, resource)
  redis.call('SADD', key('in', resource), run)
end

-- A step has cost something; and what the database has of that, for one part of the window.
function operations.spend(resource, name, payment, amount, at)
  local limit = limit_of(name, 'budget')
  if limit then
    policies.budget.spend(resource, limit, payment, amount, at)
  end
end

function operations.recount(resource, name, part, amount)
  local limit = limit_of(name, 'budget')
  if limit then
    policies.budget.recount(resource, limit, part, amount)
  end
end

-- A function's limits as its code has them; and one that an operator sets instead, or takes back.
local function everybody_looks()
  limits = {}
  local waited_for = {}
  for _, resource in ipairs(redis.call('HVALS', key('waits'))) do
    waited_for[resource] = true
  end
  for resource in pairs(waited_for) do
    redis.call('ZADD', key('timers'), now, resource)
  end
  look()
end

-- All that operators had set for a function at a moment; whether that was known. What was set since then stays.
local function set_is(name, wanted, moment)
  local same = true
  for policy, known in pairs(own(redis.call('HGETALL', key('set', name)))) do
    if (known.at or 0) > moment then
      wanted[policy] = nil
    elseif not wanted[policy] then
      redis.call('HDEL', key('set', name), policy)
      same = false
    end
  end
  for policy, given in pairs(wanted) do
    same = redis.call('HGET', key('set', name), policy) == given and same
    redis.call('HSET', key('set', name), policy, given)
  end
  return same
end

-- `set`: what operators had set at that moment, by policy; if it is not given, that stays as it is.
function operations.describe(name, given, set, moment)
  local same = not set or set_is(name, cjson.decode(set), moment)
  if redis.call('HGET', key('limits'), name) ~= given then
    redis.call('HSET', key('limits'), name, given)
    same = false
  end
  if not same then
    everybody_looks()
  end
end

function operations.set(name, policy, given)
  if given then
    local limit = cjson.decode(given)
    limit.at = now
    redis.call('HSET', key('set', name), policy, cjson.encode(limit))
  else
    redis.call('HDEL', key('set', name), policy)
  end
  everybody_looks()
end

-- Time has passed.
function operations.tick()
  look()
  redis.call('DEL', key('armed'))
end

-- Everything that was known is known again. `lost`: since when it was not, if starts may have been forgotten.
function operations.alive(lost)
  if lost then
    redis.call('SET', key('lost'), lost)
  end
  redis.call('SET', key('alive'), now)
end

-- When somebody has to look again, if it is sooner than was said before.
local function next_look()
  local timer = redis.call('ZRANGE', key('timers'), 0, 0, 'WITHSCORES')[2]
  local expiry = redis.call('ZRANGE', key('calls'), 0, 0, 'WITHSCORES')[2]
  -- What is due and was too much for once is for the next time.
  local soonest = math.max(math.min(tonumber(timer) or math.huge, tonumber(expiry) or math.huge), now + 1)
  local armed = tonumber(redis.call('GET', key('armed')) or math.huge)
  if soonest == math.huge or (armed <= soonest and armed > now) then
    return nil
  end
  redis.call('SET', key('armed'), string.format('%.0f', soonest))
  return soonest
end

local wanted = cjson.decode(ARGV[2])
if ARGV[4] ~= 'restoring' and redis.call('EXISTS', key('alive')) == 0 then
  return cjson.encode({ lost = true })
end
for _, operation in ipairs(wanted) do
  local line = (operation[1] == 'enter' or operation[1] == 'begin' or operation[1] == 'hold') and operation[3]
  if line and redis.call('HEXISTS', key('limits'), parts(line).name) == 0 then
    return cjson.encode({ unknown = parts(line).name })
  end
end
local answers = {}
expire()
for at, operation in ipairs(wanted) do
  for index, argument in ipairs(operation) do
    operation[index] = argument ~= cjson.null and argument ~= '' and argument
  end
  answers[at] = operations[operation[1]](unpack(operation, 2)) or false
end
return cjson.encode({ called = called, answers = answers, next = next_look() })
