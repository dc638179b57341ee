-- Add events of one attempt to the stream of its run. Events that are there already are skipped.
-- KEYS: the stream. ARGV: attempt, milliseconds to live, most entries (0: any number), and for each event its seq, name
-- and data. Return 1, or 0 when a later attempt has begun: then nothing more is added.
local function last_attempt()
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      return tonumber(string.match(info[at + 1], '%-(%d+)$'))
    end
  end
end

local most = tonumber(ARGV[3])
for at = 4, #ARGV, 3 do
  local id = ARGV[at] .. '-' .. ARGV[1]
  local added
  if most > 0 then
    added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', most, id, 'event', ARGV[at + 1], 'data', ARGV[at + 2])
  else
    added = redis.pcall('XADD', KEYS[1], id, 'event', ARGV[at + 1], 'data', ARGV[at + 2])
  end
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then
      return added
    elseif last_attempt() > tonumber(ARGV[1]) then
      return 0
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
