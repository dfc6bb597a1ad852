-- Builds the world that scripts see. Runs once per interpreter.
--
-- Nothing here uses globals after this head: a script cannot reach into these functions.
-- A "view" is an empty table that shows the content of another one and refuses every change; all
-- tables that scripts share are views. The few functions of Lua that look past metatables are
-- replaced by ones that know views.
local std, host = ...
local error, type, tostring, next, select = std.error, std.type, std.tostring, std.next, std.select
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

-- Functions in Rust return true and their results, or false and a message. The message gets the
-- place of the caller, which is three calls (two of them lost in tail calls) away.
local function fail(_, message) error(message, 4) end
local function finish(ok, ...)
  if ok then return ... end
  return fail(ok, ...)
end
-- The host takes few arguments as they are, and many in a table: it has room for some thousand only.
local FEW = 16
local function lift(f)
  return function(...)
    local n = select("#", ...)
    if n <= FEW then return finish(f(n, ...)) end
    return finish(f(-n, { ... }))
  end
end

-- The same for the functions of `redis`: their errors are tables, as those of commands.
local function settle(ok, ...)
  if ok then return ... end
  error({ err = (...) })
end
local function lift_api(f)
  return function(...)
    local n = select("#", ...)
    if n <= FEW then return settle(f(n, ...)) end
    return settle(f(-n, { ... }))
  end
end

local function library(functions, base)
  local all = {}
  for name, value in next, base or {} do all[name] = value end
  for name, value in next, functions do
    all[name] = type(value) == "function" and lift(value) or value
  end
  return view(all)
end

-- A call of f that is known to fail: raises its error as if f itself had been called as `name`.
local function misuse(f, name, ...)
  local ok, message = pcall(f, ...)
  if ok then return message end
  error((gsub(message, "'%?'", "'" .. name .. "'")), 3)
end

local base = {}
for _, name in next, { "assert", "error", "ipairs", "rawequal", "select", "tonumber", "tostring", "type", "gcinfo", "_VERSION" } do
  base[name] = std[name]
end

function base.next(t, ...)
  if type(t) ~= "table" then return misuse(next, "next", t, ...) end
  return next(content[t] or t, ...)
end

local visible_next = base.next
function base.pairs(t)
  if type(t) ~= "table" then return misuse(std.pairs, "pairs", t) end
  local inner = content[t]
  if inner then return visible_next, t, nil end
  return next, t, nil
end

function base.rawget(t, ...)
  if type(t) ~= "table" or select("#", ...) == 0 then return misuse(rawget, "rawget", t, ...) end
  return rawget(content[t] or t, (...))
end

function base.rawset(t, ...)
  if type(t) ~= "table" or select("#", ...) < 2 or (...) == nil then return misuse(rawset, "rawset", t, ...) end
  if content[t] then error(READONLY, 0) end
  return rawset(t, ...)
end

function base.getmetatable(...)
  if select("#", ...) == 0 then return misuse(getmetatable, "getmetatable") end
  local t = ...
  if t ~= nil and content[t] then return shown[t] end
  return getmetatable(t)
end

function base.setmetatable(t, ...)
  if t ~= nil and content[t] then error(READONLY, 0) end
  local meta = ...
  local old = type(t) == "table" and getmetatable(t)
  if type(t) ~= "table" or select("#", ...) == 0 or meta ~= nil and type(meta) ~= "table" or old and type(old) ~= "table" then
    return misuse(setmetatable, "setmetatable", t, ...)
  end
  -- Finalizers do not exist for tables in Lua 5.1, so a metatable can do no harm of that kind.
  if pcall(setmetatable, t, meta) then return t end
  return misuse(setmetatable, "setmetatable", t, ...)
end

-- Ranges are checked here: the interpreter's own check overflows.
function base.unpack(t, from, to)
  if type(t) ~= "table" or from ~= nil and type(from) ~= "number" or to ~= nil and type(to) ~= "number" then
    return misuse(unpack, "unpack", t, from, to)
  end
  local first, last = from or 1, to or #t
  if last - first >= 8000 then error("too many results to unpack", 2) end
  if not (first >= -2147483648 and last <= 2147483646) then return end
  local ok, message = pcall(unpack, t, first, first - 1)
  if not ok then error(message, 2) end
  return unpack(t, first, last)
end

-- Bytecode is taken for text, as in Redis: it never compiles.
function base.loadstring(text, name)
  if type(text) ~= "string" and type(text) ~= "number" or name ~= nil and type(name) ~= "string" then
    return misuse(loadstring, "loadstring", text, name)
  end
  text = tostring(text)
  if byte(text, 1) == 27 then
    return nil, '[string "' .. (name or "binary") .. '"]:1: unexpected symbol near \'char(27)\''
  end
  return loadstring(text, name)
end

local string_loader = base.loadstring
function base.load(reader, name)
  if type(reader) ~= "function" then return misuse(std.load, "load", reader, name) end
  local parts = {}
  while true do
    local part = reader()
    if part == nil or part == "" then break end
    if type(part) ~= "string" then return nil, "reader function must return a string" end
    parts[#parts + 1] = part
  end
  return string_loader(concat(parts), name or "=(load)")
end

-- What other functions raise as a value of the host is shown as its text.
local function plain(err)
  if type(err) == "userdata" then return tostring(err) end
  return err
end

-- An error of a command is seen as its text, as it always was in Redis.
local function caught(ok, ...)
  if ok then return true, ... end
  local err = plain((...))
  if type(err) == "table" then
    local text = rawget(content[err] or err, "err")
    if type(text) == "string" or type(text) == "number" then err = text end
  end
  return false, err
end

function base.pcall(...)
  if select("#", ...) == 0 then return misuse(pcall, "pcall") end
  return caught(pcall(...))
end

function base.xpcall(f, ...)
  if select("#", ...) == 0 then return misuse(xpcall, "xpcall", f, ...) end
  local handler = ...
  return xpcall(f, function(err) return handler(plain(err)) end)
end

-- How garbage is collected is not for scripts to say.
function base.collectgarbage(option, ...)
  if option == "stop" or option == "restart" or option == "setpause" or option == "setstepmul" then return 0 end
  if option == nil or option == "collect" or option == "count" or option == "step" then return collectgarbage(option, ...) end
  return misuse(collectgarbage, "collectgarbage", option, ...)
end

local strings = {}
for name, value in next, std.string do strings[name] = value end
strings.rep = lift(host.rep)

local tables = {}
for name, value in next, std.table do tables[name] = value end
function tables.insert(t, ...)
  if type(t) == "table" and content[t] then error(READONLY, 0) end
  local n = select("#", ...)
  if type(t) == "table" and (n == 1 or n == 2 and type((...)) == "number") then return insert(t, ...) end
  return misuse(insert, "insert", t, ...)
end

local maths = {}
for name, value in next, std.math do maths[name] = value end
maths.random, maths.randomseed = lift(host.random), lift(host.randomseed)

local string_view = view(strings)
base.string, base.table, base.math = string_view, view(tables), view(maths)
base.coroutine, base.os = view(std.coroutine), view({ clock = std.os.clock })
for name, functions in next, host.libraries do base[name] = library(functions) end

-- The metatable of all strings.
local string_meta = getmetatable("")
string_meta.__index = strings
string_meta.__metatable = view({ __index = string_view })

-- `redis`, as scripts and functions see it while they run, and while a library is loaded.
local invoke = host.call
local function call(...)
  local n, ok, reply = select("#", ...)
  if n <= FEW then ok, reply = invoke(n, ...) else ok, reply = invoke(-n, { ... }) end
  if ok then return reply end
  error(reply)
end
local function protected_call(...)
  local n, _, reply = select("#", ...)
  if n <= FEW then _, reply = invoke(n, ...) else _, reply = invoke(-n, { ... }) end
  return reply
end

local function nonexistent(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
local strict = { __index = nonexistent }

local runtime, loadtime = {}, {}
for name, value in next, host.constants do runtime[name] = value end
for name, f in next, host.api do runtime[name] = lift_api(f) end
for name, f in next, host.replies do runtime[name] = lift(f) end
for _, name in next, { "log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION", "REDIS_VERSION_NUM" } do
  loadtime[name] = runtime[name]
end
runtime.call, runtime.pcall = call, protected_call
loadtime.register_function = lift_api(host.register_function)
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

-- Runs of what the host compiled. Results: true and the value; or false, the text of the error, where
-- it happened, and whether it has been counted and is a plain string.
local where = host.where
local source, line
local function handler(err)
  source, line = where()
  return err
end

local function conclude(ok, result)
  if ok then return true, result end
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

local function run_script(at, keys, argv)
  base.KEYS, base.ARGV = keys, argv
  return conclude(xpcall(kept[at], handler))
end

local function run_function(at, keys, argv)
  local f = kept[at]
  return conclude(xpcall(function() return f(keys, argv) end, handler))
end

local function run_library(at)
  globals_meta.__index, content[globals] = loading, loading
  local ok, text, from, line_number = conclude(xpcall(kept[at], handler))
  globals_meta.__index, content[globals] = base, base
  return ok, text, from, line_number
end

return globals, keep, drop, run_script, run_function, run_library
