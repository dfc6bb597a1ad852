# redis-rb with Sentinels: adds numbers to a set at the master and notes what was acknowledged.
#
# usage: ruby writer.rb KEY LEDGER HOST:PORT…   (Sentinels of `mymaster`); runs until it is killed.
require "redis"

key, file, *places = ARGV
ledger = File.open(file, "a")
ledger.sync = true
sentinels = places.map do |place|
  host, _, port = place.rpartition(":")
  { host: host, port: port.to_i }
end
connect = lambda do
  Redis.new(url: "redis://mymaster", sentinels: sentinels, role: :master, timeout: 0.5, connect_timeout: 0.3,
            reconnect_attempts: 0)
end
redis = connect.call
number = 0
loop do
  number += 1
  begin
    # A number of 1: the member was not there.
    if redis.call(["SADD", key, number]) == 1
      ledger.write(format("%d %.3f\n", number, Time.now.to_f))
    end
    sleep 0.003
  rescue Redis::BaseError, SystemCallError, IOError
    begin
      redis.close
    rescue StandardError
      nil
    end
    redis = connect.call
    sleep 0.02
  end
end
