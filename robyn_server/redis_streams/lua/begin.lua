-- Begin an attempt of a run: from now on its stream refuses events of earlier attempts.
-- KEYS: the stream. ARGV: attempt, the seq after which the attempt's events begin, milliseconds to live.
-- Return the seq after which they really begin, which is larger if the stream is longer; -1 when a later attempt began.
local attempt, seq = tonumber(ARGV[1]), tonumber(ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      local last_seq, last_attempt = string.match(info[at + 1], '^(%d+)%-(%d+)$')
      if tonumber(last_attempt) > attempt then
        return -1
      elseif tonumber(last_attempt) == attempt then -- a repeated call, whose first answer was lost
        return tonumber(last_seq)
      end
      seq = math.max(seq, tonumber(last_seq))
    end
  end
end
local id = string.format('%.0f-%.0f', seq, attempt)
redis.call('XADD', KEYS[1], id, 'event', 'begin')
redis.call('XDEL', KEYS[1], id) -- the stream remembers the id
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return seq
