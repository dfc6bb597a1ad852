// redigo: one check an area of the client matrix.
// usage: redigo PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

var address string
var everyByte []byte

// plain turns byte slices into strings, all the way down, so that replies can be compared.
func plain(value interface{}) interface{} {
	switch value := value.(type) {
	case []byte:
		return string(value)
	case []interface{}:
		out := make([]interface{}, len(value))
		for i := range value {
			out[i] = plain(value[i])
		}
		return out
	case int:
		return int64(value)
	}
	return value
}

type list = []interface{}

func expect(seen interface{}, wanted interface{}) {
	if !reflect.DeepEqual(plain(seen), plain(wanted)) {
		panic(fmt.Sprintf("got %.200v, expected %.200v", plain(seen), plain(wanted)))
	}
}

// is sends one command and compares its reply; an error is compared by its beginning, as error value.
func is(c redis.Conn, wanted interface{}, name string, words ...interface{}) {
	reply, err := c.Do(name, words...)
	check(reply, err, wanted)
}

func check(reply interface{}, err error, wanted interface{}) {
	if start, ok := wanted.(error); ok {
		if err == nil || !strings.HasPrefix(err.Error(), start.Error()) {
			panic(fmt.Sprintf("got %v and error %v, expected %v", plain(reply), err, start))
		}
		return
	}
	if err != nil {
		panic(err.Error())
	}
	expect(reply, wanted)
}

func must(reply interface{}, err error) interface{} {
	if err != nil {
		panic(err.Error())
	}
	return plain(reply)
}

func dial(options ...redis.DialOption) redis.Conn {
	c, err := redis.Dial("tcp", address, options...)
	if err != nil {
		panic(err.Error())
	}
	return c
}

func connect(c redis.Conn) {
	is(c, "PONG", "PING")
	other := dial(redis.DialUsername("worker"), redis.DialPassword("secret"), redis.DialDatabase(3), redis.DialClientName("matrix"))
	defer other.Close()
	is(other, "worker", "ACL", "WHOAMI")
	is(other, "matrix", "CLIENT", "GETNAME")
	is(other, "OK", "SET", "only-in-3", 1)
	is(c, nil, "GET", "only-in-3")
	is(other, "OK", "FLUSHDB")
	_, err := redis.Dial("tcp", address, redis.DialUsername("worker"), redis.DialPassword("x"))
	check(nil, err, errors.New("WRONGPASS"))
	url, err := redis.DialURL("redis://worker:secret@" + address + "/3")
	check(nil, err, nil)
	url.Close()
}

func stringValues(c redis.Conn) {
	is(c, "OK", "SET", "s", "héllo", "EX", 100)
	is(c, "héllo", "GET", "s")
	is(c, 100, "TTL", "s")
	is(c, nil, "SET", "s", "x", "NX")
	is(c, 40, "INCRBY", "n", 40)
	is(c, "2.5", "INCRBYFLOAT", "f", 2.5)
	is(c, list{"40", nil, "2.5"}, "MGET", "n", "none", "f")
}

func pipeline(c redis.Conn) {
	for i := 0; i < 2000; i++ {
		c.Send("INCR", "counter")
	}
	c.Send("LPUSH", "counter", "x")
	c.Send("GET", "counter")
	c.Flush()
	for i := 1; i <= 2000; i++ {
		reply, err := c.Receive()
		check(reply, err, i)
	}
	_, err := c.Receive()
	check(nil, err, errors.New("WRONGTYPE "))
	reply, err := c.Receive()
	check(reply, err, "2000")
}

func transaction(c redis.Conn) {
	other := dial()
	defer other.Close()
	is(c, "OK", "WATCH", "t")
	is(other, "OK", "SET", "t", 1)
	c.Send("MULTI")
	c.Send("INCR", "t")
	is(c, nil, "EXEC")
	is(c, "OK", "WATCH", "t")
	c.Send("MULTI")
	c.Send("INCR", "t")
	c.Send("LPUSH", "tl", "a")
	is(c, list{2, 1}, "EXEC")
	c.Send("MULTI")
	c.Send("NOSUCH")
	is(c, errors.New("ERR unknown command 'NOSUCH'"), "EXEC")
}

func lists(c redis.Conn) {
	is(c, 3, "RPUSH", "l", "a", "b", "c")
	is(c, "a", "LPOP", "l")
	is(c, "c", "LMOVE", "l", "m", "RIGHT", "LEFT")
	is(c, list{"b"}, "LRANGE", "l", 0, -1)
	is(c, nil, "BLPOP", "q", 0.05)
	go func() {
		time.Sleep(100 * time.Millisecond)
		other := dial()
		defer other.Close()
		other.Do("RPUSH", "q", "work")
	}()
	is(c, list{"q", "work"}, "BLPOP", "none", "q", 5)
}

func hashes(c redis.Conn) {
	is(c, 2, "HSET", redis.Args{}.Add("h").AddFlat(map[string]string{"f": "1", "g": "two"})...)
	pairs, err := redis.StringMap(c.Do("HGETALL", "h"))
	check(pairs["f"]+pairs["g"], err, "1two")
	is(c, list{"1", nil}, "HMGET", "h", "f", "none")
	is(c, 10, "HINCRBY", "h", "f", 9)
	is(c, 1, "HDEL", "h", "g")
}

func sets(c redis.Conn) {
	is(c, 2, "SADD", "s1", "a", "b")
	is(c, 2, "SADD", "s2", "b", "c")
	is(c, list{"b"}, "SINTER", "s1", "s2")
	is(c, list{"a"}, "SDIFF", "s1", "s2")
	is(c, list{1, 0}, "SMISMEMBER", "s1", "a", "z")
}

func sortedSets(c redis.Conn) {
	is(c, 3, "ZADD", "z", 1, "a", 2.5, "b", "+inf", "c")
	is(c, list{"a", "1", "b", "2.5", "c", "inf"}, "ZRANGE", "z", 0, -1, "WITHSCORES")
	score, err := redis.Float64(c.Do("ZINCRBY", "z", 2, "a"))
	check(score, err, 3.0)
	is(c, list{"a", "c"}, "ZRANGEBYSCORE", "z", "(2.5", "+inf")
}

func streams(c redis.Conn) {
	first := must(c.Do("XADD", "x", "*", "n", 0))
	second := must(c.Do("XADD", "x", "*", "n", 1))
	is(c, "OK", "XGROUP", "CREATE", "x", "g", "0")
	entries := list{list{first, list{"n", "0"}}, list{second, list{"n", "1"}}}
	is(c, list{list{"x", entries}}, "XREADGROUP", "GROUP", "g", "one", "COUNT", 2, "STREAMS", "x", ">")
	is(c, 1, "XACK", "x", "g", first)
	is(c, list{1, second, second, list{list{"one", "1"}}}, "XPENDING", "x", "g")
	is(c, list{"0-0", list{list{second, list{"n", "1"}}}, list{}}, "XAUTOCLAIM", "x", "g", "two", 0, "0")
}

func scan(c redis.Conn) {
	words := redis.Args{}
	for i := 0; i < 1000; i++ {
		words = words.Add(fmt.Sprintf("scan:%d", i), i)
	}
	is(c, "OK", "MSET", words...)
	keys := map[string]bool{}
	for at := "0"; ; {
		page, err := redis.Values(c.Do("SCAN", at, "MATCH", "scan:*", "COUNT", 70))
		check(nil, err, nil)
		found, _ := redis.Strings(page[1], nil)
		for _, key := range found {
			keys[key] = true
		}
		if at, _ = redis.String(page[0], nil); at == "0" {
			break
		}
	}
	expect(len(keys), 1000)
}

func pubsub(c redis.Conn) {
	p := redis.PubSubConn{Conn: dial()}
	defer p.Close()
	p.Subscribe("news")
	p.PSubscribe("n?ws*")
	expect([]string{p.Receive().(redis.Subscription).Kind, p.Receive().(redis.Subscription).Kind}, []string{"subscribe", "psubscribe"})
	is(c, 2, "PUBLISH", "news", everyByte)
	for _, pattern := range []string{"", "n?ws*"} {
		message := p.Receive().(redis.Message)
		expect(list{message.Pattern, message.Channel, bytes.Equal(message.Data, everyByte)}, list{pattern, "news", true})
	}
	p.Unsubscribe()
	expect(p.Receive().(redis.Subscription).Count, 1)
}

func scripts(c redis.Conn) {
	script := redis.NewScript(1, "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}")
	is(c, "OK", "SCRIPT", "FLUSH")
	check(nil, script.SendHash(c, "k", "v"), nil)
	c.Flush()
	_, err := c.Receive()
	check(nil, err, errors.New("NOSCRIPT "))
	for i := 0; i < 2; i++ { // EVALSHA, and EVAL where that finds nothing
		reply, err := script.Do(c, "k", "v")
		check(reply, err, list{"k", 7, nil})
	}
	is(c, errors.New("MINE words"), "EVAL", "return redis.error_reply('MINE words')", 0)
}

func binary(c redis.Conn) {
	is(c, "OK", "SET", everyByte, everyByte)
	is(c, everyByte, "GET", everyByte)
	is(c, "OK", "SET", "", "")
	is(c, "", "GET", "")
}

func big(c redis.Conn) {
	value := bytes.Repeat(everyByte, 65536)
	is(c, "OK", "SET", "big", value)
	reply, err := redis.Bytes(c.Do("GET", "big"))
	check(bytes.Equal(reply, value), err, true)
}

func errorReplies(c redis.Conn) {
	is(c, "OK", "SET", "e", "x")
	is(c, errors.New("WRONGTYPE "), "LPUSH", "e", 1)
	is(c, errors.New("ERR value is not an integer or out of range"), "INCR", "e")
	is(c, errors.New("ERR wrong number of arguments for 'get' command"), "GET")
	is(c, "PONG", "PING")
}

// run gives the reason when an area fails.
func run(area func(redis.Conn), c redis.Conn) (why interface{}) {
	defer func() { why = recover() }()
	area(c)
	return nil
}

func main() {
	address = "127.0.0.1:" + os.Args[1]
	for i := 0; i < 256; i++ {
		everyByte = append(everyByte, byte(i))
	}
	// The library does not say its version: the runner asks the package manager.
	fmt.Println("VERSION", os.Getenv("REDIGO_VERSION"))
	areas := []struct {
		name string
		area func(redis.Conn)
	}{
		{"connect", connect}, {"strings", stringValues}, {"pipeline", pipeline}, {"transaction", transaction},
		{"list", lists}, {"hash", hashes}, {"set", sets}, {"zset", sortedSets}, {"stream", streams}, {"scan", scan},
		{"pubsub", pubsub}, {"script", scripts}, {"binary", binary}, {"big", big}, {"errors", errorReplies},
	}
	c := dial(redis.DialReadTimeout(20 * time.Second))
	is(c, "OK", "FLUSHALL")
	failed := 0
	for _, entry := range areas {
		if why := run(entry.area, c); why != nil {
			failed = 1
			fmt.Printf("FAIL %s: %v\n", entry.name, why)
		} else {
			fmt.Println("PASS", entry.name)
		}
	}
	os.Exit(failed)
}
