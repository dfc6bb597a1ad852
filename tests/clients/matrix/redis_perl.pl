# Perl's Redis.pm: one check an area of the client matrix.
# usage: redis_perl.pl PORT; prints a VERSION line and one PASS or FAIL line an area; exit code 1 when one fails.
use strict;
use warnings;
use Digest::SHA qw(sha1_hex);
use JSON::PP;
use Redis;

my $port = $ARGV[0];
my $EVERY_BYTE = join '', map { chr } 0 .. 255;
my $json = JSON::PP->new->canonical->allow_nonref->latin1;

sub expect {
    my ($seen, $wanted) = map { $json->encode($_) } @_;
    # Scalars that were used as numbers and as text are written in two ways.
    s/"(-?[0-9.]+)"/$1/g for $seen, $wanted;
    die 'got ' . substr($seen, 0, 200) . ', expected ' . substr($wanted, 0, 200) . "\n" if $seen ne $wanted;
}

sub raises {
    my ($start, $call) = @_;
    my $lived = eval { $call->(); 1 };
    die "no error, expected $start\n" if $lived;
    die "got the error $@, expected $start\n" if index($@, $start) < 0;
}

sub make { Redis->new(server => "127.0.0.1:$port", @_) }

# Runs a command on a connection of its own, in another process, after some milliseconds.
sub later {
    my ($ms, @words) = @_;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        select undef, undef, undef, $ms / 1000;
        my ($command, @rest) = @words;
        make()->$command(@rest);
        require POSIX;
        POSIX::_exit(0);
    }
    return $pid;
}

my @areas = (
    connect => sub {
        my $r = shift;
        expect($r->ping, 'PONG');
        my $other = make(username => 'worker', password => 'secret', name => 'matrix', on_connect => sub { $_[0]->select(3) });
        expect([ $other->acl_whoami, $other->client_getname ], [ 'worker', 'matrix' ]);
        expect([ $other->set('only-in-3', 1), $r->get('only-in-3') ], [ 'OK', undef ]);
        $other->flushdb;
        raises('WRONGPASS', sub { $other->auth('worker', 'x') });
    },
    strings => sub {
        my $r = shift;
        expect([ $r->set('s', 'hello', 'EX', 100), $r->get('s'), $r->ttl('s'), $r->get('none') ], [ 'OK', 'hello', 100, undef ]);
        expect([ $r->set('s', 'x', 'NX'), $r->incrby('n', 40), $r->decr('n'), $r->incrbyfloat('f', 2.5) ], [ undef, 40, 39, 2.5 ]);
        expect([ $r->mset('a', 1, 'b', 2), [ $r->mget('a', 'none', 'b') ] ], [ 'OK', [ 1, undef, 2 ] ]);
    },
    pipeline => sub {
        my $r = shift;
        my @replies;
        for my $i (0 .. 1999) {
            $r->incr('counter', sub { $replies[$i] = $_[0] });
        }
        my $error;
        $r->lpush('counter', 'x', sub { $error = $_[1] });
        $r->wait_all_responses;
        expect([ \@replies, $error =~ /^WRONGTYPE / ? 1 : 0 ], [ [ 1 .. 2000 ], 1 ]);
    },
    transaction => sub {
        my $r = shift;
        my $other = make();
        $r->watch('t');
        $other->set('t', 1);
        $r->multi;
        $r->incr('t');
        expect(scalar $r->exec, undef);
        $r->watch('t');
        $r->multi;
        $r->incr('t');
        $r->lpush('tl', 'a');
        expect([ $r->exec ], [ 2, 1 ]);
    },
    list => sub {
        my $r = shift;
        expect([ $r->rpush('l', 'a', 'b', 'c'), $r->lpop('l'), [ $r->lrange('l', 0, -1) ] ], [ 3, 'a', [ 'b', 'c' ] ]);
        expect([ $r->rpoplpush('l', 'm'), $r->llen('m'), scalar $r->blpop('q', 0.05) ], [ 'c', 1, undef ]);
        my $pid = later(100, 'rpush', 'q', 'work');
        expect([ $r->blpop('none', 'q', 5) ], [ 'q', 'work' ]);
        waitpid $pid, 0;
    },
    hash => sub {
        my $r = shift;
        expect([ $r->hset('h', 'f', 1, 'g', 'two'), { $r->hgetall('h') } ], [ 2, { f => 1, g => 'two' } ]);
        expect([ [ $r->hmget('h', 'f', 'none') ], $r->hincrby('h', 'f', 9), $r->hdel('h', 'g'), $r->hlen('h') ], [ [ 1, undef ], 10, 1, 1 ]);
    },
    set => sub {
        my $r = shift;
        expect([ $r->sadd('s1', 'a', 'b'), $r->sadd('s2', 'b', 'c'), [ sort $r->smembers('s1') ] ], [ 2, 2, [ 'a', 'b' ] ]);
        expect([ [ $r->sinter('s1', 's2') ], [ $r->sdiff('s1', 's2') ], $r->sismember('s1', 'z') ], [ ['b'], ['a'], 0 ]);
    },
    zset => sub {
        my $r = shift;
        expect([ $r->zadd('z', 1, 'a', 2.5, 'b'), [ $r->zrange('z', 0, -1, 'WITHSCORES') ] ], [ 2, [ 'a', 1, 'b', 2.5 ] ]);
        expect([ $r->zrank('z', 'b'), $r->zincrby('z', 2, 'a'), [ $r->zrangebyscore('z', '(2.5', '+inf') ] ], [ 1, 3, ['a'] ]);
    },
    stream => sub {
        my $r = shift;
        my @ids = map { $r->xadd('x', '*', 'n', $_) } 0 .. 2;
        expect([ $r->xlen('x'), [ map { $_->[0] } $r->xrange('x', '-', '+') ], $r->xgroup('CREATE', 'x', 'g', 0) ], [ 3, \@ids, 'OK' ]);
        my @got = $r->xreadgroup('GROUP', 'g', 'one', 'COUNT', 2, 'STREAMS', 'x', '>');
        expect(\@got, [ [ 'x', [ [ $ids[0], [ 'n', 0 ] ], [ $ids[1], [ 'n', 1 ] ] ] ] ]);
        my @pending = ($r->xack('x', 'g', $ids[0]), ($r->xpending('x', 'g'))[0]);
        expect(\@pending, [ 1, 1 ]);
        expect([ $r->xclaim('x', 'g', 'two', 0, $ids[1]) ], [ [ $ids[1], [ 'n', 1 ] ] ]);
    },
    scan => sub {
        my $r = shift;
        $r->mset(map { ("scan:$_", $_) } 0 .. 999);
        my ($at, %keys) = (0);
        do {
            ($at, my $found) = $r->scan($at, 'MATCH', 'scan:*', 'COUNT', 70);
            $keys{$_} = 1 for @$found;
        } while $at;
        expect(scalar keys %keys, 1000);
    },
    pubsub => sub {
        my $r = shift;
        my ($other, @heard) = make();
        $other->subscribe('news', sub { my ($data, $channel) = @_; push @heard, [ $channel, $data ] });
        $other->psubscribe('n?ws*', sub { my ($data, $channel, $pattern) = @_; push @heard, [ $pattern, $channel ] });
        expect($r->publish('news', $EVERY_BYTE), 2);
        $other->wait_for_messages(1) while @heard < 2;
        expect(\@heard, [ [ 'news', $EVERY_BYTE ], [ 'n?ws*', 'news' ] ]);
    },
    script => sub {
        my $r = shift;
        my $text = "redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], 7, false}";
        $r->script('FLUSH');
        raises('NOSCRIPT', sub { $r->evalsha(sha1_hex($text), 1, 'k', 'v') });
        expect([ $r->eval($text, 1, 'k', 'v') ], [ 'k', 7, undef ]);
        expect([ $r->evalsha(sha1_hex($text), 1, 'k', 'v') ], [ 'k', 7, undef ]);
        raises('MINE words', sub { $r->eval("return redis.error_reply('MINE words')", 0) });
    },
    binary => sub {
        my $r = shift;
        expect([ $r->set($EVERY_BYTE, $EVERY_BYTE), $r->get($EVERY_BYTE), $r->set('', ''), $r->get('') ], [ 'OK', $EVERY_BYTE, 'OK', '' ]);
    },
    big => sub {
        my $r = shift;
        my $value = $EVERY_BYTE x 65536;
        expect([ $r->set('big', $value), $r->get('big') eq $value ? 1 : 0 ], [ 'OK', 1 ]);
        my @all = ($r->rpush('lb', 1 .. 20000), scalar(my @items = $r->lrange('lb', 0, -1)));
        expect(\@all, [ 20000, 20000 ]);
    },
    errors => sub {
        my $r = shift;
        $r->set('e', 'x');
        raises('WRONGTYPE ', sub { $r->lpush('e', 1) });
        raises('ERR value is not an integer or out of range', sub { $r->incr('e') });
        raises("ERR wrong number of arguments for 'get' command", sub { $r->get });
        expect($r->ping, 'PONG');
    },
);

print "VERSION $Redis::VERSION\n";
my $r = make();
$r->flushall;
my $failed = 0;
while (my ($name, $area) = splice @areas, 0, 2) {
    if (eval { $area->($r); 1 }) {
        print "PASS $name\n";
    } else {
        $failed = 1;
        (my $why = $@) =~ s/\s+/ /g;
        print "FAIL $name: $why\n";
    }
}
exit $failed;
