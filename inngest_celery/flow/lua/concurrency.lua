-- At most so many jobs at a time. A place is taken when a job is called, and free again when it is let go.

policies.concurrency = {
  room = function(resource, limit)
    return limit.limit - redis.call('SCARD', key('in', resource))
  end,
  -- Only a job that lets go makes room, or one whose lease runs out; both are looked at anyway.
  next = function() end,
  reserve = function(resource, job)
    redis.call('SADD', key('in', resource), job)
  end,
  begin = function() end,
  let_go = function(resource, job)
    redis.call('SREM', key('in', resource), job)
  end,
}
