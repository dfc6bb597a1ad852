/* hiredis: one check an area of the client matrix.
 * usage: hiredis PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails. */
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int port;
static char every_byte[256];
/* What went wrong in the current area, if anything did. */
static char why[600];

/* A reply as text: "a" for strings, +OK, -error, :1, nil, [ … ] for arrays. */
static size_t show(char *out, size_t room, const redisReply *r) {
    if (room < 2) return 0;
    switch (r->type) {
    case REDIS_REPLY_STRING: return snprintf(out, room, "\"%.*s\"", (int)r->len, r->str);
    case REDIS_REPLY_STATUS: return snprintf(out, room, "+%s", r->str);
    case REDIS_REPLY_ERROR: return snprintf(out, room, "-%s", r->str);
    case REDIS_REPLY_INTEGER: return snprintf(out, room, ":%lld", r->integer);
    case REDIS_REPLY_NIL: return snprintf(out, room, "nil");
    }
    size_t used = snprintf(out, room, "[");
    for (size_t i = 0; i < r->elements && used + 4 < room; i++) {
        if (i) out[used++] = ' ';
        used += show(out + used, room - used - 2, r->element[i]);
    }
    if (used + 2 > room) used = room - 2;
    return used + snprintf(out + used, room - used, "]");
}

static redisReply *must(redisContext *c, void *reply) {
    if (reply == NULL) {
        printf("FAIL connect: %s\n", c->errstr);
        exit(1);
    }
    return reply;
}

static redisContext *make(void) {
    redisContext *c = redisConnect("127.0.0.1", port);
    if (c == NULL || c->err) {
        printf("FAIL connect: %s\n", c ? c->errstr : "no memory");
        exit(1);
    }
    return c;
}

static void compare(redisReply *r, const char *wanted, const char *what) {
    static char seen[4096];
    show(seen, sizeof seen, r);
    /* An error is compared by its beginning. */
    int same = wanted[0] == '-' ? strncmp(seen, wanted, strlen(wanted)) == 0 : strcmp(seen, wanted) == 0;
    if (!same && !why[0]) snprintf(why, sizeof why, "%s: got %.200s, expected %s", what, seen, wanted);
    freeReplyObject(r);
}

/* Sends one command and compares its reply. */
static void is(redisContext *c, const char *wanted, const char *format, ...) {
    va_list words;
    va_start(words, format);
    redisReply *r = must(c, redisvCommand(c, format, words));
    va_end(words);
    compare(r, wanted, format);
}

static void next_is(redisContext *c, const char *wanted) {
    void *reply = NULL;
    if (redisGetReply(c, &reply) != REDIS_OK) reply = NULL;
    compare(must(c, reply), wanted, "a later reply");
}

static void holds(const char *what, int good) {
    if (!good && !why[0]) snprintf(why, sizeof why, "%s", what);
}

static void area_connect(redisContext *c) {
    is(c, "+PONG", "PING");
    redisContext *other = make();
    is(other, "+OK", "AUTH worker secret");
    is(other, "\"worker\"", "ACL WHOAMI");
    is(other, "+OK", "SELECT 3");
    is(other, "+OK", "SET only-in-3 1");
    is(c, "nil", "GET only-in-3");
    is(other, "+OK", "FLUSHDB");
    is(other, "-WRONGPASS ", "AUTH worker x");
    redisReply *r = must(c, redisCommand(c, "HELLO 2"));
    holds("HELLO 2 answers a flat list", r->type == REDIS_REPLY_ARRAY && r->elements == 14 && strcmp(r->element[0]->str, "server") == 0);
    freeReplyObject(r);
    redisFree(other);
}

static void area_strings(redisContext *c) {
    is(c, "+OK", "SET s %s EX 100", "h\xc3\xa9llo");
    is(c, "\"h\xc3\xa9llo\"", "GET s");
    is(c, ":100", "TTL s");
    is(c, "nil", "SET s x NX");
    is(c, ":40", "INCRBY n 40");
    is(c, "\"2.5\"", "INCRBYFLOAT f 2.5");
    is(c, "[\"40\" nil \"2.5\"]", "MGET n none f");
}

static void area_pipeline(redisContext *c) {
    char wanted[32];
    for (int i = 0; i < 2000; i++) redisAppendCommand(c, "INCR counter");
    redisAppendCommand(c, "LPUSH counter x");
    redisAppendCommand(c, "GET counter");
    for (int i = 1; i <= 2000; i++) {
        snprintf(wanted, sizeof wanted, ":%d", i);
        next_is(c, wanted);
    }
    next_is(c, "-WRONGTYPE ");
    next_is(c, "\"2000\"");
}

static void area_transaction(redisContext *c) {
    redisContext *other = make();
    is(c, "+OK", "WATCH t");
    is(other, "+OK", "SET t 1");
    is(c, "+OK", "MULTI");
    is(c, "+QUEUED", "INCR t");
    is(c, "nil", "EXEC");
    is(c, "+OK", "WATCH t");
    is(c, "+OK", "MULTI");
    is(c, "+QUEUED", "INCR t");
    is(c, "+QUEUED", "LPUSH tl a");
    is(c, "[:2 :1]", "EXEC");
    is(c, "+OK", "MULTI");
    is(c, "-ERR unknown command 'NOSUCH'", "NOSUCH");
    is(c, "-EXECABORT ", "EXEC");
    redisFree(other);
}

static void area_list(redisContext *c) {
    is(c, ":3", "RPUSH l a b c");
    is(c, "\"a\"", "LPOP l");
    is(c, "\"c\"", "LMOVE l m RIGHT LEFT");
    is(c, "[\"b\"]", "LRANGE l 0 -1");
    is(c, "nil", "BLPOP q 0.05");
    redisContext *other = make();
    redisAppendCommand(c, "BLPOP none q 5");
    int done = 0;
    while (!done) redisBufferWrite(c, &done);
    usleep(100000);
    is(other, ":1", "RPUSH q work");
    next_is(c, "[\"q\" \"work\"]");
    redisFree(other);
}

static void area_hash(redisContext *c) {
    is(c, ":2", "HSET h f 1 g two");
    is(c, "[\"f\" \"1\" \"g\" \"two\"]", "HGETALL h");
    is(c, "[\"1\" nil]", "HMGET h f none");
    is(c, ":10", "HINCRBY h f 9");
    is(c, ":1", "HDEL h g");
}

static void area_set(redisContext *c) {
    is(c, ":2", "SADD s1 a b");
    is(c, ":2", "SADD s2 b c");
    is(c, "[\"b\"]", "SINTER s1 s2");
    is(c, "[\"a\"]", "SDIFF s1 s2");
    is(c, "[:1 :0]", "SMISMEMBER s1 a z");
}

static void area_zset(redisContext *c) {
    is(c, ":3", "ZADD z 1 a 2.5 b +inf c");
    is(c, "[\"a\" \"1\" \"b\" \"2.5\" \"c\" \"inf\"]", "ZRANGE z 0 -1 WITHSCORES");
    is(c, "\"3\"", "ZINCRBY z 2 a");
    is(c, "[\"a\" \"c\"]", "ZRANGEBYSCORE z (2.5 +inf");
}

static void area_stream(redisContext *c) {
    is(c, "\"1-0\"", "XADD x 1 n 0");
    is(c, "\"2-0\"", "XADD x 2 n 1");
    is(c, "+OK", "XGROUP CREATE x g 0");
    is(c, "[[\"x\" [[\"1-0\" [\"n\" \"0\"]] [\"2-0\" [\"n\" \"1\"]]]]]", "XREADGROUP GROUP g one COUNT 2 STREAMS x >");
    is(c, ":1", "XACK x g 1-0");
    is(c, "[:1 \"2-0\" \"2-0\" [[\"one\" \"1\"]]]", "XPENDING x g");
    is(c, "[\"0-0\" [[\"2-0\" [\"n\" \"1\"]]] []]", "XAUTOCLAIM x g two 0 0");
}

static void area_scan(redisContext *c) {
    for (int i = 0; i < 1000; i++) redisAppendCommand(c, "SET scan:%d %d", i, i);
    for (int i = 0; i < 1000; i++) next_is(c, "+OK");
    char seen[1000] = {0}, at[32] = "0";
    int found = 0;
    do {
        redisReply *r = must(c, redisCommand(c, "SCAN %s MATCH scan:* COUNT 70", at));
        snprintf(at, sizeof at, "%s", r->element[0]->str);
        for (size_t i = 0; i < r->element[1]->elements; i++) {
            int number = atoi(r->element[1]->element[i]->str + 5);
            found += !seen[number];
            seen[number] = 1;
        }
        freeReplyObject(r);
    } while (strcmp(at, "0") != 0);
    holds("SCAN finds every key", found == 1000);
}

static void area_pubsub(redisContext *c) {
    redisContext *other = make();
    is(other, "[\"subscribe\" \"news\" :1]", "SUBSCRIBE news");
    is(other, "[\"psubscribe\" \"n?ws*\" :2]", "PSUBSCRIBE n?ws*");
    is(c, ":2", "PUBLISH news hello");
    next_is(other, "[\"message\" \"news\" \"hello\"]");
    next_is(other, "[\"pmessage\" \"n?ws*\" \"news\" \"hello\"]");
    is(other, "[\"unsubscribe\" \"news\" :1]", "UNSUBSCRIBE news");
    redisFree(other);
}

static void area_script(redisContext *c) {
    const char *text = "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}";
    is(c, "+OK", "SCRIPT FLUSH");
    is(c, "-NOSCRIPT ", "EVALSHA 0000000000000000000000000000000000000000 0");
    is(c, "[\"k\" :7 nil]", "EVAL %s 1 k v", text);
    redisReply *r = must(c, redisCommand(c, "SCRIPT LOAD %s", text));
    is(c, "[\"k\" :7 nil]", "EVALSHA %s 1 k v", r->str);
    freeReplyObject(r);
    is(c, "-MINE words", "EVAL %s 0", "return redis.error_reply('MINE words')");
}

static void area_binary(redisContext *c) {
    is(c, "+OK", "SET %b %b", every_byte, sizeof every_byte, every_byte, sizeof every_byte);
    redisReply *r = must(c, redisCommand(c, "GET %b", every_byte, sizeof every_byte));
    holds("every byte comes back", r->len == sizeof every_byte && memcmp(r->str, every_byte, sizeof every_byte) == 0);
    freeReplyObject(r);
    is(c, "+OK", "SET %b %b", "", (size_t)0, "", (size_t)0);
    is(c, "\"\"", "GET %b", "", (size_t)0);
}

static void area_big(redisContext *c) {
    size_t size = 16 << 20;
    char *big = malloc(size);
    for (size_t at = 0; at < size; at += sizeof every_byte) memcpy(big + at, every_byte, sizeof every_byte);
    is(c, "+OK", "SET big %b", big, size);
    redisReply *r = must(c, redisCommand(c, "GET big"));
    holds("16 MiB come back", r->type == REDIS_REPLY_STRING && r->len == size && memcmp(r->str, big, size) == 0);
    freeReplyObject(r);
    free(big);
}

static void area_errors(redisContext *c) {
    is(c, "+OK", "SET e x");
    is(c, "-WRONGTYPE ", "LPUSH e 1");
    is(c, "-ERR value is not an integer or out of range", "INCR e");
    is(c, "-ERR wrong number of arguments for 'get' command", "GET");
    is(c, "+PONG", "PING");
}

static const struct {
    const char *name;
    void (*run)(redisContext *);
} areas[] = {
    {"connect", area_connect}, {"strings", area_strings}, {"pipeline", area_pipeline}, {"transaction", area_transaction},
    {"list", area_list},       {"hash", area_hash},       {"set", area_set},           {"zset", area_zset},
    {"stream", area_stream},   {"scan", area_scan},       {"pubsub", area_pubsub},     {"script", area_script},
    {"binary", area_binary},   {"big", area_big},         {"errors", area_errors},
};

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    port = atoi(argv[1]);
    for (size_t i = 0; i < sizeof every_byte; i++) every_byte[i] = (char)i;
    printf("VERSION %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    redisContext *c = make();
    freeReplyObject(must(c, redisCommand(c, "FLUSHALL")));
    int failed = 0;
    for (size_t i = 0; i < sizeof areas / sizeof *areas; i++) {
        why[0] = 0;
        areas[i].run(c);
        failed |= why[0] != 0;
        if (why[0]) printf("FAIL %s: %s\n", areas[i].name, why);
        else printf("PASS %s\n", areas[i].name);
    }
    redisFree(c);
    return failed;
}
