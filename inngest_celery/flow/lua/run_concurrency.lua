-- At most so many runs between their start and their end. The place is the run's, not the job's: it outlasts the job
-- that started it, and is given up when the run ends.

policies.run_concurrency = {
  room = function(resource, limit)
    return limit.limit - redis.call('SCARD', key('in', resource)) - redis.call('SCARD', key('called', resource))
  end,
  -- A run may end where nobody tells Redis. Then the database is asked, as long as somebody waits.
  next = function()
    return now + calls_last
  end,
  reserve = function(resource, job)
    redis.call('SADD', key('called', resource), job)
  end,
  begin = function(resource, job)
    redis.call('SREM', key('called', resource), job)
    redis.call('SADD', key('in', resource), run_of(job))
  end,
  let_go = function(resource, job)
    redis.call('SREM', key('called', resource), job)
  end,
  has = function(resource, job)
    return redis.call('SISMEMBER', key('in', resource), run_of(job)) == 1
  end,
}
