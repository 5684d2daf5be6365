-- Users of ten tenants: 80 % reads of what is kept, 15 % reads of the database, 5 % writes that make void what was kept.
-- Arguments: the file of tokens, which go round the tenants, and a seed.
local TENANTS, USERS_EACH = 10, 200
local tokens = {}

function init(args)
    for token in io.lines(args[1]) do
        tokens[#tokens + 1] = token
    end
    math.randomseed(tonumber(args[2]))
end

function request()
    local caller = math.random(#tokens)
    local tenant = (caller - 1) % TENANTS + 1
    local id = string.format("00000000-0000-0000-%04x-%012x", tenant, math.random(USERS_EACH))
    local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. tokens[caller] }
    local dice = math.random(100)
    if dice <= 80 then
        return wrk.format("POST", "/rpc/bench/read", headers, '{"id":"' .. id .. '"}')
    elseif dice <= 95 then
        return wrk.format("POST", "/rpc/bench/find", headers, '{"id":"' .. id .. '"}')
    end
    local body = string.format('{"id":"%s","name":"User %d"}', id, math.random(1000000))
    return wrk.format("POST", "/rpc/bench/rename", headers, body)
end
