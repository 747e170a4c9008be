-- What the policies and the line share. KEYS[1] is the stem of all keys, with its hash tag: one node has them all.
-- ARGV: the time in milliseconds, what to do (JSON), and for how long a call is good.

local stem, now, calls_last = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[3])
local policies = {}

-- What is kept for a while is kept for longer by this: the clocks of workers are not quite the same.
local CLOCKS_DIFFER_MS = 60000

local function key(...)
  return stem .. ':' .. table.concat({ ... }, ':')
end

-- A job is named by its run and its own key.
local function run_of(job)
  return string.match(job, '^[^/]*')
end
