-- Builds the world that scripts see. Runs once per interpreter.
--
-- Nothing here uses globals after this head: a script cannot reach into these functions.
-- A "view" is an empty table that shows the content of another one and refuses every change; all
-- tables that scripts share are views. The few functions of Lua that look past metatables are
-- replaced by ones that know views.
local std, host = ...
local error, type, tostring, tonumber, next, select = std.error, std.type, std.tostring, std.tonumber, std.next, std.select
local pcall, xpcall, rawget, rawset = std.pcall, std.xpcall, std.rawget, std.rawset
local getmetatable, setmetatable = std.getmetatable, std.setmetatable
local loadstring, unpack, collectgarbage = std.loadstring, std.unpack, std.collectgarbage
local gsub, byte, concat, insert = std.string.gsub, std.string.byte, std.table.concat, std.table.insert

local READONLY = "Attempt to modify a readonly table"

-- content[view] is what the view shows; shown[view] is what getmetatable returns for it.
local content, shown = {}, {}

local function refuse() error(READONLY, 2) end

local function view(of)
  local v = {}
  content[v] = of
  setmetatable(v, { __index = of, __newindex = refuse, __metatable = false })
  return v
end

-- What scripts call are C functions (see trampoline.rs) around functions that return true and their
-- results, or false and a message, or nil and what is to be raised as it is.
local bind, bind_host = host.bind, host.bind_host

local function bound(functions)
  local all = {}
  for name, value in next, functions do
    all[name] = type(value) == "function" and bind_host(value) or value
  end
  return all
end

-- A call of f that is known to fail, with its message as if f itself had been called as `name`.
local function misuse(f, name, ...)
  local ok, message = pcall(f, ...)
  if ok then return true, message end
  return false, (gsub(message, "'%?'", "'" .. name .. "'"))
end

local base = {}
for _, name in next, { "assert", "error", "ipairs", "rawequal", "select", "tonumber", "tostring", "type", "gcinfo", "_VERSION" } do
  base[name] = std[name]
end

local shims = {}

function shims.next(...)
  local t = ...
  if type(t) ~= "table" then return misuse(next, "next", ...) end
  local _, key = ...
  if content[t] then t = content[t] end
  -- A key that is not there is an error without a place.
  local ok, name, value = pcall(next, t, key)
  if not ok then return nil, name end
  return true, name, value
end

function shims.pairs(...)
  local t = ...
  if type(t) ~= "table" then return misuse(std.pairs, "pairs", ...) end
  -- The content itself must never come into the hands of a script.
  return true, content[t] and base.next or next, t, nil
end

function shims.rawget(...)
  local t, key = ...
  if type(t) ~= "table" or select("#", ...) < 2 then return misuse(rawget, "rawget", ...) end
  return true, rawget(content[t] or t, key)
end

function shims.rawset(...)
  local t, key, value = ...
  if type(t) ~= "table" or select("#", ...) < 3 then return misuse(rawset, "rawset", ...) end
  if content[t] then return nil, READONLY end
  local ok, message = pcall(rawset, t, key, value)
  if not ok then return nil, message end
  return true, t
end

function shims.getmetatable(...)
  if select("#", ...) == 0 then return misuse(getmetatable, "getmetatable") end
  local t = ...
  if t ~= nil and content[t] then return true, shown[t] end
  return true, getmetatable(t)
end

-- Finalizers do not exist for tables in Lua 5.1, so a metatable can do no harm of that kind.
function shims.setmetatable(...)
  local t, meta = ...
  if t ~= nil and content[t] then return nil, READONLY end
  if select("#", ...) > 1 and pcall(setmetatable, t, meta) then return true, t end
  return misuse(setmetatable, "setmetatable", ...)
end

-- Ranges are checked here: the interpreter's own check overflows.
function shims.unpack(...)
  local t, from, to = ...
  local first, last = tonumber(from or 1), tonumber(to or type(t) == "table" and #t or 0)
  if type(t) ~= "table" or not first or not last then return misuse(unpack, "unpack", ...) end
  if first > last then return true end
  if last - first >= (from == nil and to == nil and 7999 or 7997) or first < -2147483648 or last > 2147483646 then
    return false, "too many results to unpack"
  end
  -- Every value counts towards the room that there is, the arguments too.
  if from == nil and to == nil then return true, unpack(t) end
  return true, unpack(t, first, last)
end

-- Bytecode is taken for text, as in Redis: it never compiles.
local function load_text(text, name)
  if byte(text, 1) == 27 then
    return nil, '[string "' .. (name or "binary") .. '"]:1: unexpected symbol near \'char(27)\''
  end
  return loadstring(text, name)
end

function shims.loadstring(...)
  local text, name = ...
  local named = name == nil or type(name) == "string" or type(name) == "number"
  if type(text) ~= "string" and type(text) ~= "number" or not named then
    return misuse(loadstring, "loadstring", ...)
  end
  return true, load_text(tostring(text), name)
end

function shims.load(...)
  local reader, name = ...
  if type(reader) ~= "function" then return misuse(std.load, "load", ...) end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then break end
    if type(part) ~= "string" then return true, nil, "reader function must return a string" end
    parts[#parts + 1] = part
  end
  return true, load_text(concat(parts), name or "=(load)")
end

-- What the host raises by itself (lack of memory) is shown as its text.
local function plain(err)
  if type(err) == "userdata" then return tostring(err) end
  return err
end

-- An error of a command is seen as its text, as it always was in Redis.
local function caught(ok, ...)
  if ok then return true, true, ... end
  local err = plain((...))
  if type(err) == "table" then
    local text = rawget(content[err] or err, "err")
    if type(text) == "string" or type(text) == "number" then err = text end
  end
  return true, false, err
end

function shims.pcall(...)
  if select("#", ...) == 0 then return true, false, "attempt to call a nil value" end
  return caught(pcall(...))
end

function shims.xpcall(...)
  if select("#", ...) < 2 then return misuse(xpcall, "xpcall", ...) end
  local f, handle = ...
  return true, xpcall(f, function(err) return handle(plain(err)) end)
end

-- How garbage is collected is not for scripts to say.
function shims.collectgarbage(...)
  local option = ...
  if option == "stop" or option == "restart" or option == "setpause" or option == "setstepmul" then return true, 0 end
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return true, collectgarbage(option, (select(2, ...)))
  end
  return misuse(collectgarbage, "collectgarbage", ...)
end

for name, f in next, shims do base[name] = bind(f) end

local strings = {}
for name, value in next, std.string do strings[name] = value end
strings.rep = bind_host(host.rep)
for _, name in next, { "find", "match", "gmatch", "gfind", "gsub" } do strings[name] = host.bind_pattern(strings[name]) end

local tables = {}
for name, value in next, std.table do tables[name] = value end
tables.insert = bind(function(...)
  local t, at = ...
  if type(t) == "table" and content[t] then return nil, READONLY end
  local n = select("#", ...)
  -- Everything from the place on is moved, also where there is nothing.
  if n == 3 and type(at) == "number" and at < -1000000 then return false, "position out of bounds" end
  if type(t) == "table" and (n == 2 or n == 3 and type(at) == "number") then return true, insert(...) end
  return misuse(insert, "insert", ...)
end)

local maths = {}
for name, value in next, std.math do maths[name] = value end
maths.random, maths.randomseed = bind_host(host.random), bind_host(host.randomseed)

local string_view = view(strings)
base.string, base.table, base.math = string_view, view(tables), view(maths)
base.coroutine, base.os = view(std.coroutine), view({ clock = std.os.clock })
local new_cjson = host.libraries.cjson.new
for name, functions in next, host.libraries do
  if name ~= "cjson" then base[name] = view(bound(functions)) end
end

-- One that a script makes by itself is its own: no view.
local function cjson(functions)
  local encode, all = functions.encode, bound(functions)
  -- What a view shows can be told, too.
  all.encode = bind(function(...)
    if select("#", ...) == 0 then return encode(0) end
    local value = ...
    if type(value) == "table" and content[value] then value = content[value] end
    return encode(select("#", ...), value, select(2, ...))
  end)
  all.new = bind(function()
    local ok, fresh = new_cjson(0)
    if not ok then return ok, fresh end
    return true, cjson(fresh)
  end)
  return all
end
base.cjson = view(cjson(host.libraries.cjson))

-- The metatable of all strings.
local string_meta = getmetatable("")
string_meta.__index = strings
string_meta.__metatable = view({ __index = string_view })

-- `redis`, as scripts and functions see it while they run, and while a library is loaded.
local function nonexistent(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
local strict = { __index = nonexistent }

local runtime, loadtime = {}, {}
for name, value in next, host.constants do runtime[name] = value end
for name, f in next, host.api do runtime[name] = bind_host(f) end
runtime.call, runtime.pcall = host.bind_command(host.api.call), host.bind_command(host.api.pcall)
for _, name in next, { "log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION", "REDIS_VERSION_NUM" } do
  loadtime[name] = runtime[name]
end
loadtime.register_function = bind_host(host.register_function)
setmetatable(loadtime, strict)
base.redis = view(runtime)
base.server = base.redis

local loading = { redis = view(loadtime) }
loading.server = loading.redis
setmetatable(loading, strict)

-- Globals: a view whose content depends on what runs.
local globals = {}
local globals_meta = { __index = base, __newindex = refuse, __metatable = false }
content[globals], shown[globals] = base, view({ __index = nonexistent })
setmetatable(globals, globals_meta)
base._G = globals
setmetatable(base, strict)

-- Runs of what the host compiled: it calls them with this handler (see direct.rs), and asks `conclude` for
-- what an error is: false, its text, where it happened, and whether it has been counted.
local where = host.where
local source, line
local function handler(err)
  source, line = where()
  return err
end

local function conclude(result)
  local from, at = source, line
  source, line = nil, nil
  if type(result) == "table" then
    local inner = content[result] or result
    local text = rawget(inner, "err")
    if type(text) ~= "string" and type(text) ~= "number" then text = "ERR unknown error" end
    return false, tostring(text), from, at, rawget(inner, "ignore_error_stats_update") == true
  end
  result = plain(result)
  if type(result) ~= "string" and type(result) ~= "number" then result = type(result) == "nil" and "nil" or type(result) end
  return false, "ERR " .. result, from, at, false
end

-- What the host has compiled or been given, by number: the host itself can hold few references.
local kept, free = {}, {}
local function keep(f)
  local at = #free > 0 and free[#free] or #kept + 1
  free[#free] = nil
  kept[at] = f
  return at
end
local function drop(at)
  if kept[at] then
    kept[at] = false
    free[#free + 1] = at
  end
end

local function run_library(at)
  globals_meta.__index, content[globals] = loading, loading
  local ok, err = xpcall(kept[at], handler)
  globals_meta.__index, content[globals] = base, base
  if ok then return true end
  return conclude(err)
end

return globals, keep, drop, run_library, { kept = kept, base = base, handler = handler, conclude = conclude }
