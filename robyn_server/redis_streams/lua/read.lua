-- Read events of a run in order. KEYS: the stream. ARGV: the smallest seq, most events, most bytes of data.
-- Return whether there is more, and for each event its id, name and data. The last event may exceed the bytes.
local left, room, step, from = tonumber(ARGV[2]), tonumber(ARGV[3]), 8, ARGV[1]
local found = {0}
while left > 0 and room > 0 do
  local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(step, left))
  for _, entry in ipairs(page) do
    if room <= 0 then
      break
    end
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
    found[#found + 1] = entry[2][4]
    left, room = left - 1, room - #entry[2][4]
  end
  if #page < step then
    if room <= 0 or left <= 0 then
      break
    end
    return found
  end
  from, step = '(' .. page[#page][1], step * 4 -- small pages first: the entries may be large
end
found[1] = 1
return found
