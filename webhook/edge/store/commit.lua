-- Applies commands to the state as one, if nobody changed it since it was read.
-- KEYS[1]  the revision
-- ARGV[1]  the revision that was read
-- ARGV[2…] the commands: the number of words of each, then its words
-- returns  the new revision, or 0 when the state has moved on and nothing was done
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then
  return 0
end
local at = 2
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  -- A run's state that was told already is not told again: its id is taken.
  local call = ARGV[at + 1] == 'XADD' and redis.pcall or redis.call
  call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return redis.call('INCR', KEYS[1])
