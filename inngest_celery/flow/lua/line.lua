-- The line: which job goes next.
--
-- Jobs that need the same places stand in one LINE, the lowest score first. The lines of one function whose steps need
-- the same places make a GROUP: of these, the one with the lowest score at its head goes first. A group that finds no
-- room waits for one resource at a time, in turn with the other groups that wait for it, and gets one job a turn: so a
-- flood under one key holds nobody else up. A line whose head may not start yet (throttle, run concurrency) waits
-- likewise, while the other lines of its group go on. A group that does not wait has nothing ready.
--
-- A job that may go is CALLED: its places are kept for it until its message has reached a worker, which BEGINS it and
-- holds it under a lease. A call or a lease that runs out puts the job back in line; whoever calls it again looks into
-- the database whether there is still anything to do.

-- So much is done in one script, while everybody else waits for it; the rest a moment later.
local MOST_ROUNDS = 500
local MOST_DUE = 200
local rounds = 0
local called = {} -- jobs to send hints for, in order
local dirty = {}  -- resources that may have room for somebody who waits
local limits = {}
local parsed = {}

-- A line is named by its function and what its jobs need: "function\npolicy=resource;…\npolicy=resource;…", first what
-- every step needs, then what only a start does. Its group is named as the line whose jobs need nothing for a start.
local function parts(line)
  if not parsed[line] then
    local name, steps, starts = string.match(line, '^([^\n]*)\n([^\n]*)\n([^\n]*)$')
    local needs = {}
    for policy, resource in string.gmatch(steps .. ';' .. starts, '([^=;]+)=([^;]+)') do
      needs[#needs + 1] = { policy = policy, kind = string.match(policy, '^[^.]*'), resource = resource }
    end
    local _, shared = string.gsub(steps, '=', '')
    parsed[line] = { name = name, needs = needs, shared = shared, group = name .. '\n' .. steps .. '\n' }
  end
  return parsed[line]
end

local function own(list)
  local found = {}
  for at = 1, #list, 2 do
    found[list[at]] = cjson.decode(list[at + 1])
  end
  return found
end

-- What an operator has set holds until it expires, else what the code says. A policy that the code has no more is none.
local function limit_of(name, policy)
  if not limits[name] then
    limits[name] = cjson.decode(redis.call('HGET', key('limits'), name) or '{}')
    for set, limit in pairs(own(redis.call('HGETALL', key('set', name)))) do
      if not limit['until'] or limit['until'] > now then
        limits[name][set] = limit
      end
    end
  end
  return limits[name][policy]
end

local function has_room(name, need)
  local limit = limit_of(name, need.policy)
  return not limit or policies[need.kind].room(need.resource, limit) >= 1
end

local function each_need(line, act)
  for _, need in ipairs(parts(line).needs) do
    act(policies[need.kind], need.resource, limit_of(parts(line).name, need.policy))
  end
end

-- What is noted of a job that was called: its line and score, how often, whether it is OUT of the line still, and who
-- holds it since it began.
local function known(job)
  local found = redis.call('HGET', key('info'), job)
  return found and cjson.decode(found)
end

local function note(job, info)
  redis.call('HSET', key('info'), job, cjson.encode(info))
end

-- Waiting. A member is a group or a line, with a letter before its name.

local function is_waiting(member)
  return redis.call('HEXISTS', key('waits'), member) == 1
end

local function set_timer(name, need)
  local limit, policy = limit_of(name, need.policy) or {}, policies[need.kind]
  if limit.limit and policy.settle then
    policy.settle(need.resource, limit)
  end
  local at = limit.limit and policy.next(need.resource, limit) or math.huge
  at = math.min(at, limit['until'] or math.huge)
  if at < math.huge then
    redis.call('ZADD', key('timers'), math.max(at, now + 1), need.resource)
  end
end

local function wait_for(member, name, need)
  redis.call('HSET', key('waits'), member, need.resource)
  redis.call('ZADD', key('wait', need.resource), redis.call('INCR', key('turn')), member)
  set_timer(name, need)
end

local function stop_waiting(member, resource)
  redis.call('HDEL', key('waits'), member)
  redis.call('ZREM', key('wait', resource), member)
end

local function head(line)
  local found = redis.call('ZRANGE', key('line', line), 0, 0, 'WITHSCORES')
  return found[1], found[2]
end

local function line_up(line)
  local _, score = head(line)
  local ready = key('ready', parts(line).group)
  if score then
    redis.call('ZADD', ready, score, line)
  else
    redis.call('ZREM', ready, line)
  end
end

local function wait_no_more(member)
  local resource = redis.call('HGET', key('waits'), member)
  if resource then
    stop_waiting(member, resource)
    dirty[#dirty + 1] = resource
  end
end

-- Takes a job out of its line. Whoever has nobody left to wait for does not wait.
local function leave_line(job, line)
  local group = parts(line).group
  redis.call('ZREM', key('line', line), job)
  if not is_waiting('l' .. line) then
    line_up(line)
  elseif not head(line) then
    wait_no_more('l' .. line)
  end
  if redis.call('EXISTS', key('ready', group)) == 0 then
    wait_no_more('g' .. group)
  end
end

-- Calling

local function call(line, job, score)
  local info = known(job) or { times = 0 }
  redis.call('ZREM', key('line', line), job)
  -- Longer each time: a message in a long queue is late, not lost.
  redis.call('ZADD', key('calls'), now + calls_last * 2 ^ math.min(info.times, 6), job)
  note(job, { line = line, score = score, times = info.times + 1, out = true })
  each_need(line, function(policy, resource)
    policy.reserve(resource, job)
  end)
  called[#called + 1] = job
end

local function give_back(job, info)
  each_need(info.line, function(policy, resource)
    policy.let_go(resource, job)
    dirty[#dirty + 1] = resource
  end)
  redis.call('ZREM', key('calls'), job)
end

-- Gives the first need, from one position to another, that is not met. Others who wait for a resource go first, unless
-- it is this one's turn, at `served` or before. So whoever gives way has its turn at a later need of its own next time:
-- it gives way less often than it has needs, and nobody gives way to each other forever.
local function unmet(line, from, to, served, member)
  local needs = parts(line).needs
  for at = from, to do
    local need = needs[at]
    if not has_room(parts(line).name, need) then
      return need
    end
    local first = at > served and redis.call('ZRANGE', key('wait', need.resource), 0, 0)[1]
    if first and first ~= member then
      dirty[#dirty + 1] = need.resource
      return need
    end
  end
end

-- Calls one job of a group that does not wait, the resource at `served` being the one whose turn it is.
local function serve(group, served)
  local ready, name = key('ready', group), parts(group).name
  -- Who has just come is the only one there is to look at, and is always looked at.
  while served == 0 or rounds < MOST_ROUNDS do
    rounds = rounds + 1
    local line = redis.call('ZRANGE', ready, 0, 0)[1]
    if not line then
      return
    end
    local need = unmet(group, 1, parts(group).shared, served, 'g' .. group)
    if need then
      wait_for('g' .. group, name, need)
      return
    end
    need = unmet(line, parts(line).shared + 1, #parts(line).needs, served, 'l' .. line)
    if not need then
      call(line, head(line))
      line_up(line)
      return
    end
    redis.call('ZREM', ready, line)
    wait_for('l' .. line, name, need)
  end
end

local function position(line, resource)
  for at, need in ipairs(parts(line).needs) do
    if need.resource == resource then
      return at, need
    end
  end
end

-- Gives the one whose turn it is what it waits for: a job, and a place at the end if it has more.
local function serve_turn(member, resource)
  local line, is_line = string.sub(member, 2), string.sub(member, 1, 1) == 'l'
  local group = parts(line).group
  local at, need = position(line, resource)
  stop_waiting(member, resource)
  if is_line then
    line_up(line)
  end
  if is_waiting('g' .. group) then
    return
  end
  serve(group, at)
  if is_waiting('g' .. group) or is_waiting(member) then
    return
  end
  if is_line then
    if redis.call('ZREM', key('ready', group), line) == 1 then
      wait_for(member, parts(line).name, need)
    end
  elseif redis.call('EXISTS', key('ready', group)) == 1 then
    wait_for(member, parts(line).name, need)
  end
end

local function pump(resource)
  while rounds < MOST_ROUNDS do
    rounds = rounds + 1
    local member = redis.call('ZRANGE', key('wait', resource), 0, 0)[1]
    if not member then
      redis.call('ZREM', key('timers'), resource)
      return
    end
    local line = string.sub(member, 2)
    local _, need = position(line, resource)
    if not has_room(parts(line).name, need) then
      set_timer(parts(line).name, need)
      return
    end
    serve_turn(member, resource)
  end
  redis.call('ZADD', key('timers'), now + 1, resource)
end

local function pump_all()
  local at = 1
  while dirty[at] do
    pump(dirty[at])
    at = at + 1
  end
  dirty = {}
end

-- Looks whether time has made room.
local function look()
  for _, resource in ipairs(redis.call('ZRANGEBYSCORE', key('timers'), '-inf', now, 'LIMIT', 0, MOST_DUE)) do
    redis.call('ZREM', key('timers'), resource)
    dirty[#dirty + 1] = resource
  end
  pump_all()
end

-- What a start takes, it takes once. A run that has its place among the runs must not wait for it, behind those who
-- wait for that very place.
local function has_started(line, job)
  for _, need in ipairs(parts(line).needs) do
    if need.kind == 'run_concurrency' and policies.run_concurrency.has(need.resource, job) then
      return true
    end
  end
end

local function stand_in_line(job, line, score)
  local group, info = parts(line).group, known(job) or { line = line, times = 0 }
  if info.line ~= group and (line == group or has_started(line, job)) then
    leave_line(job, info.line)
    info.line = group
    note(job, info)
  end
  line = info.line
  redis.call('ZADD', key('line', line), score, job)
  if not is_waiting('l' .. line) then
    line_up(line)
    if not is_waiting('g' .. group) then
      serve(group, 0)
    end
  end
  pump_all()
end

-- Puts back in line what was called, or begun, and has not been heard of since.
local function expire()
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', key('calls'), '-inf', now, 'LIMIT', 0, MOST_DUE)) do
    local info = known(job)
    local line = info.owner and parts(info.line).group or info.line
    give_back(job, info)
    info.owner, info.out = nil, nil
    note(job, info)
    stand_in_line(job, line, info.score)
  end
end
