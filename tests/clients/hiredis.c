/* hiredis against the server: single commands, binary values, a pipeline, nested replies.
 * usage: hiredis PORT; prints one PASS or FAIL line a check; exit code 1 when one fails. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void check(const char *name, int good) {
    printf("%s %s\n", good ? "PASS" : "FAIL", name);
    failures += !good;
}

static redisReply *must(redisContext *c, void *reply) {
    if (reply == NULL) {
        printf("FAIL connection: %s\n", c->errstr);
        exit(1);
    }
    return reply;
}

static int text_is(redisReply *r, int type, const char *text) {
    return r->type == type && r->len == strlen(text) && memcmp(r->str, text, r->len) == 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    redisContext *c = redisConnect("127.0.0.1", atoi(argv[1]));
    if (c == NULL || c->err) {
        printf("FAIL connect: %s\n", c ? c->errstr : "no memory");
        return 1;
    }
    redisReply *r = must(c, redisCommand(c, "FLUSHALL"));
    check("flushall", text_is(r, REDIS_REPLY_STATUS, "OK"));
    freeReplyObject(r);

    r = must(c, redisCommand(c, "SET %s %b", "key", "a\0b\r\n", (size_t)5));
    check("set", text_is(r, REDIS_REPLY_STATUS, "OK"));
    freeReplyObject(r);
    r = must(c, redisCommand(c, "GET key"));
    check("binary value", r->type == REDIS_REPLY_STRING && r->len == 5 && memcmp(r->str, "a\0b\r\n", 5) == 0);
    freeReplyObject(r);
    r = must(c, redisCommand(c, "GET none"));
    check("nil", r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = must(c, redisCommand(c, "LPUSH key x"));
    check("error", text_is(r, REDIS_REPLY_ERROR, "WRONGTYPE Operation against a key holding the wrong kind of value"));
    freeReplyObject(r);

    for (int i = 0; i < 1000; i++) redisAppendCommand(c, "INCRBY counter %d", i);
    int right = 1;
    long long sum = 0;
    for (int i = 0; i < 1000; i++) {
        sum += i;
        void *reply = NULL;
        if (redisGetReply(c, &reply) != REDIS_OK) reply = NULL;
        r = must(c, reply);
        right = right && r->type == REDIS_REPLY_INTEGER && r->integer == sum;
        freeReplyObject(r);
    }
    check("pipeline", right);

    r = must(c, redisCommand(c, "HSET h f 1 g 2"));
    check("hset", r->type == REDIS_REPLY_INTEGER && r->integer == 2);
    freeReplyObject(r);
    r = must(c, redisCommand(c, "HMGET h f none g"));
    check("array with nil", r->type == REDIS_REPLY_ARRAY && r->elements == 3 && text_is(r->element[0], REDIS_REPLY_STRING, "1") &&
                                r->element[1]->type == REDIS_REPLY_NIL && text_is(r->element[2], REDIS_REPLY_STRING, "2"));
    freeReplyObject(r);
    r = must(c, redisCommand(c, "RPUSH l a b c"));
    freeReplyObject(r);
    r = must(c, redisCommand(c, "LMPOP 1 l LEFT COUNT 2"));
    check("nested array", r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->type == REDIS_REPLY_ARRAY &&
                              r->element[1]->elements == 2 && text_is(r->element[1]->element[1], REDIS_REPLY_STRING, "b"));
    freeReplyObject(r);
    size_t size = 8 * 1024 * 1024;
    char *big = malloc(size);
    memset(big, 'x', size);
    r = must(c, redisCommand(c, "SET big %b", big, size));
    freeReplyObject(r);
    r = must(c, redisCommand(c, "GET big"));
    check("eight megabytes", r->type == REDIS_REPLY_STRING && r->len == size && memcmp(r->str, big, size) == 0);
    freeReplyObject(r);
    free(big);
    redisFree(c);
    return failures ? 1 : 0;
}
