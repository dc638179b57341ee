-- Return the largest seq that the stream of a run has had, or 0 when there is no stream. KEYS: the stream.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for at = 1, #info, 2 do
  if info[at] == 'last-generated-id' then
    return tonumber(string.match(info[at + 1], '^(%d+)'))
  end
end
