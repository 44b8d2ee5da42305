//! What is sent: the grammar of every command family the two servers are
//! compared in. A new command is one line here.
//!
//! Left out on purpose: times to live so short that they lapse between the two
//! servers (`lapse` does that with a pause), auto-generated stream ids, and
//! commands whose reply is about the server rather than the data. DBSIZE is
//! not asked: redis-server counts lapsed keys until its own expiry finds them.

use super::grammar::Family;

/// The families Ferrock has: what a run compares unless it is told otherwise.
pub fn present() -> Vec<Family> {
    vec![
        Family::new("strings", 's', STRINGS),
        Family::new("hashes", 'h', HASHES),
        Family::new("generic", 's', GENERIC),
        Family::new("expiry", 'h', EXPIRY),
        Family::new("bitmaps", 'b', BITMAPS),
        Family::new("streams", 'x', STREAMS),
        Family::new("lists", 'l', LISTS),
        Family::new("across", 'l', ACROSS),
        Family::new("zsets", 'z', ZSETS),
        Family::new("names", 'y', NAMES),
        Family::new("geo", 'g', GEO),
        Family::new("scripts", 's', SCRIPTS),
        Family::new("blocking", 'l', BLOCKING),
    ]
}

/// The families to come: with its first command a family moves to the list above.
pub fn to_come() -> Vec<Family> {
    vec![Family::new("sets", 'e', SETS), Family::new("hyperloglogs", 'p', HYPERLOGLOGS)]
}

const STRINGS: &str = "
3: SET $key $value
2: SET $key $value [NX | XX] [GET] [EX $ttl | PX $ms | EXAT $at | PXAT $msat | KEEPTTL]
SET $key $value [EX $ttl] [NX | XX | GET | PERSIST] [KEEPTTL]
3: GET $key
GETSET $key $value
GETDEL $key
2: GETEX $key [EX $ttl | PX $ms | EXAT $at | PXAT $msat | PERSIST]
SETNX $key $value
SETEX $key $ttl $value
PSETEX $key $ms $value
2: MGET ($key)*
2: MSET ($key $value)*
MSETNX ($key $value)*
2: INCR $key
DECR $key
2: INCRBY $key $int
DECRBY $key $int
2: INCRBYFLOAT $key $float
3: APPEND $key $value
STRLEN $key
2: GETRANGE $key $index $index
SUBSTR $key $index $index
2: SETRANGE $key $byte $value
LCS $key $key [LEN]
LCS $key $key [LEN | IDX] [MINMATCHLEN $count] [WITHMATCHLEN]
";

const HASHES: &str = "
4: HSET $key ($field $value)*
HMSET $key ($field $value)*
HSETNX $key $field $value
2: HGET $key $field
2: HMGET $key ($field)*
HGETALL $key
HKEYS $key
HVALS $key
HLEN $key
HEXISTS $key $field
HSTRLEN $key $field
2: HDEL $key ($field)*
2: HINCRBY $key $field $int
2: HINCRBYFLOAT $key $field $float
HRANDFIELD $key [$count [WITHVALUES]]
HSCAN $key 0 [MATCH $pattern] COUNT 1000
";

const GENERIC: &str = "
2: DEL ($any)*
UNLINK ($any)*
2: EXISTS ($any)*
TOUCH ($any)*
TYPE $any
2: RENAME $any $any
RENAMENX $any $any
2: COPY $any $any [DB $db] [REPLACE]
MOVE $any $db
RANDOMKEY
KEYS $pattern
SCAN 0 [MATCH $pattern] COUNT 10000 [TYPE (string | hash | list | set | zset | stream | x)]
OBJECT ENCODING $any
OBJECT REFCOUNT nothing
SELECT $db
SWAPDB $db $db
PERSIST $any
";

const EXPIRY: &str = "
2: EXPIRE $any $ttl [NX | XX | GT | LT]
PEXPIRE $any $ms [NX | XX | GT | LT]
EXPIREAT $any $at [NX | XX | GT | LT]
PEXPIREAT $any $msat [NX | XX | GT | LT]
EXPIRE $any $ttl (NX | XX | GT | LT)*
2: TTL $any
PTTL $any
EXPIRETIME $any
PEXPIRETIME $any
PERSIST $any
lapse $any
";

const LISTS: &str = "
3: LPUSH $key ($value)*
3: RPUSH $key ($value)*
LPUSHX $key ($value)*
RPUSHX $key ($value)*
2: LPOP $key [$count]
2: RPOP $key [$count]
LLEN $key
2: LINDEX $key $index
2: LRANGE $key $index $index
LSET $key $index $value
LINSERT $key (BEFORE | AFTER) $value $value
LREM $key $index $value
LTRIM $key $index $index
LPOS $key $value [RANK $index] [COUNT $count] [MAXLEN $count]
LMOVE $key $key (LEFT | RIGHT) (LEFT | RIGHT)
RPOPLPUSH $key $key
LMPOP 1 $key (LEFT | RIGHT) [COUNT $count]
LMPOP 2 $key $key (LEFT | RIGHT) [COUNT $count]
BLPOP $key 0.01
BRPOP $key $key 0.01
BLMOVE $key $key (LEFT | RIGHT) (LEFT | RIGHT) 0.01
BLMPOP 0.01 1 $key (LEFT | RIGHT) [COUNT $count]
";

/// `blocked … then …`: one connection blocks, then this one runs what may serve it.
const BLOCKING: &str = "
3: blocked BLPOP $key $key 0.1 then RPUSH $key ($value)*
2: blocked BRPOP $key 0.1 then LPUSH $key $value $value
2: blocked BLMOVE $key $key (LEFT | RIGHT) (LEFT | RIGHT) 0.1 then RPUSH $key $value
blocked BRPOPLPUSH $key $key 0.1 then LPUSH $key $value
2: blocked BLMPOP 0.1 2 $key $key (LEFT | RIGHT) [COUNT $positive] then RPUSH $key ($value)*
blocked BLPOP $key 0.1 then RENAME $key $key
blocked BLPOP $key 0.1 then SET $key $value
blocked BLPOP $key $key 0.1 then COPY $key $key
blocked BLPOP $key $key 0.1 then SORT $key ALPHA STORE $key
2: blocked BLPOP l0 l1 0.1 then EVAL $serving_script 0
blocked BLMOVE l0 l0 LEFT RIGHT 0.1 then LINSERT $key BEFORE $value $value
2: DEL ($key)*
2: LPOP $key
LLEN $key
LRANGE $key 0 -1
";

const SETS: &str = "
4: SADD $key ($member)*
2: SREM $key ($member)*
SMEMBERS $key
SCARD $key
SISMEMBER $key $member
SMISMEMBER $key ($member)*
SMOVE $key $key $member
SPOP $key [$count]
SRANDMEMBER $key [$count]
SINTER ($key)*
SUNION ($key)*
SDIFF ($key)*
SINTERSTORE $key ($key)*
SUNIONSTORE $key ($key)*
SDIFFSTORE $key ($key)*
SINTERCARD 1 $key [LIMIT $count]
SINTERCARD 2 $key $key [LIMIT $count]
SSCAN $key 0 [MATCH $pattern] COUNT 1000
";

const ZSETS: &str = "
4: ZADD $key ($score $member)*
2: ZADD $key [NX | XX] [GT | LT] [CH] [INCR] $score $member
ZINCRBY $key $score $member
2: ZREM $key ($member)*
ZSCORE $key $member
ZMSCORE $key ($member)*
ZCARD $key
ZCOUNT $key $min $max
ZRANK $key $member
ZREVRANK $key $member
2: ZRANGE $key $index $index [REV] [WITHSCORES]
ZRANGE $key $min $max BYSCORE [REV] [LIMIT $index $count] [WITHSCORES]
ZRANGESTORE $key $key $index $index [REV]
ZRANGESTORE $key $key $min $max BYSCORE [REV] [LIMIT $index $count]
ZREVRANGE $key $index $index [WITHSCORES]
ZRANGEBYSCORE $key $min $max [WITHSCORES] [LIMIT $index $count]
ZREVRANGEBYSCORE $key $max $min [WITHSCORES] [LIMIT $index $count]
ZREMRANGEBYRANK $key $index $index
ZREMRANGEBYSCORE $key $min $max
ZPOPMIN $key [$count]
ZPOPMAX $key [$count]
ZMPOP 1 $key (MIN | MAX) [COUNT $count]
ZMPOP 2 $key $key (MIN | MAX) [COUNT $count]
BZPOPMIN $key 0.01
BZPOPMAX $key $key 0.01
BZMPOP 0.01 1 $key (MIN | MAX) [COUNT $count]
ZRANDMEMBER $key [$count [WITHSCORES]]
ZUNION 2 $key $key [WEIGHTS $score $score] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]
ZINTER 2 $key $key [WEIGHTS $score $score] [AGGREGATE (SUM | MIN | MAX)] [WITHSCORES]
ZDIFF 2 $key $key [WITHSCORES]
ZUNIONSTORE $key 2 $key $any [WEIGHTS $score $score] [AGGREGATE (SUM | MIN | MAX)]
ZINTERSTORE $key 2 $key $any [WEIGHTS $score $score] [AGGREGATE (SUM | MIN | MAX)]
ZDIFFSTORE $key 2 $key $any
ZINTERCARD 2 $key $key [LIMIT $count]
ZSCAN $key 0 [MATCH $pattern] COUNT 1000
";

const BITMAPS: &str = "
3: SETBIT $key $offset $bit
2: GETBIT $key $offset
BITCOUNT $key [$index $index [BYTE | BIT]]
BITPOS $key $bit [$index [$index [BYTE | BIT]]]
2: BITOP (AND | OR | XOR) $key ($key)*
BITOP NOT $key $key
BITFIELD $key (GET $bittype $bitpos | SET $bittype $bitpos $int | INCRBY $bittype $bitpos $int | OVERFLOW (WRAP | SAT | FAIL))*
BITFIELD_RO $key (GET $bittype $bitpos)*
SET $key $value
GET $key
SETRANGE $key $byte $value
";

const HYPERLOGLOGS: &str = "
4: PFADD $key ($member)*
PFADD $key
2: PFCOUNT ($key)*
PFMERGE $key ($key)*
GET $key
STRLEN $key
";

/// Sorted sets of one score: ranges by names of members with different scores are undefined.
const NAMES: &str = "
5: ZADD $key 0 $member 0 $member 0 $member
2: ZADD $key 0 $member
ZREM $key ($member)*
ZLEXCOUNT $key $lex $lex
2: ZRANGE $key $lex $lex BYLEX [REV] [LIMIT $index $count]
2: ZRANGEBYLEX $key $lex $lex [LIMIT $index $count]
2: ZREVRANGEBYLEX $key $lex $lex [LIMIT $index $count]
ZREMRANGEBYLEX $key $lex $lex
ZRANGESTORE $key $key $lex $lex BYLEX [REV] [LIMIT $index $count]
ZRANK $key $member
ZRANGE $key $index $index
";

const GEO: &str = "
4: GEOADD $key [NX | XX] [CH] ($longitude $latitude $member)*
GEOPOS $key ($member)*
GEOHASH $key ($member)*
GEODIST $key $member $member [$unit]
GEOSEARCH $key FROMMEMBER $member BYRADIUS $radius $unit (ASC | DESC) [COUNT $positive] [WITHCOORD] [WITHDIST] [WITHHASH]
GEOSEARCH $key FROMLONLAT $longitude $latitude BYBOX $radius $radius $unit (ASC | DESC) [COUNT $positive] [WITHDIST]
GEOSEARCHSTORE $key $key FROMLONLAT $longitude $latitude BYRADIUS $radius $unit (ASC | DESC) [STOREDIST]
GEORADIUS $key $longitude $latitude $radius $unit (ASC | DESC) [WITHDIST] [WITHCOORD] [WITHHASH] [COUNT $positive]
GEORADIUSBYMEMBER_RO $key $member $radius $unit (ASC | DESC) [WITHDIST]
ZREM $key $member
ZRANGE $key 0 -1 WITHSCORES
";

const STREAMS: &str = "
5: XADD $key $newid ($field $value)*
XADD $key [NOMKSTREAM] [(MAXLEN | MINID) [= | ~] $positive] $newid ($field $value)*
XADD $key $id ($field $value)*
XLEN $key
2: XRANGE $key $id $id [COUNT $count]
XREVRANGE $key $id $id [COUNT $count]
XDEL $key ($id)*
XTRIM $key (MAXLEN | MINID) [=] $positive
XTRIM $key (MAXLEN | MINID) ~ $positive [LIMIT $count]
2: XREAD [COUNT $count] STREAMS $key $id
XREAD [COUNT $count] STREAMS $key $key $id $id
XSETID $key $lastid [ENTRIESADDED $count] [MAXDELETEDID $id]
2: XGROUP CREATE $key $group $id [MKSTREAM] [ENTRIESREAD $count]
XGROUP SETID $key $group $id
XGROUP DESTROY $key $group
XGROUP CREATECONSUMER $key $group $consumer
XGROUP DELCONSUMER $key $group $consumer
3: XREADGROUP GROUP $group $consumer [COUNT $count] [NOACK] STREAMS $key >
XREADGROUP GROUP $group $consumer [COUNT $count] STREAMS $key $id
2: XACK $key $group ($id)*
XPENDING $key $group
XPENDING $key $group - + 10 [$consumer]
XPENDING $key $group [IDLE 0] $id $id $count [$consumer]
XCLAIM $key $group $consumer 0 ($id)* [JUSTID]
XCLAIM $key $group $consumer 0 ($id)* [FORCE] [RETRYCOUNT $count] [LASTID $id] [JUSTID]
XREADGROUP GROUP $group $consumer BLOCK 1 STREAMS $key $key > >
XREAD BLOCK 1 STREAMS $key $key $id $id
XINFO STREAM $key FULL [COUNT $count]
XAUTOCLAIM $key $group $consumer 0 $id [COUNT $positive] [JUSTID]
XINFO STREAM $key
XINFO GROUPS $key
";

const ACROSS: &str = "
SORT $any [BY (s* | h*->m1 | nothing*)] [LIMIT $index $count] [GET #] [ASC | DESC] [STORE $any]
SORT $any [LIMIT $index $count] [GET #] [ASC | DESC] ALPHA [STORE $any]
OBJECT ENCODING $any
TYPE $any
DEL $any
";

const SCRIPTS: &str = "
6: EVAL $script 2 $key $key $value $int
2: EVAL $script 1 $any $value $int
EVAL $script 0 $value
3: EVAL_RO $reading_script 2 $key $any $index
EVAL_RO $script 1 $key $value
EVAL $reading_script $count $any $key $value
SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db $count
SET $key $value
HSET $key $field $value
GET $key
";

/// Scripts that write: on declared keys and on others, whole and broken off in the middle.
pub const WRITING_SCRIPTS: &[&str] = &[
    "return redis.call('SET', KEYS[1], ARGV[1])",
    "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])",
    "local before = redis.call('GET', KEYS[1]) redis.call('SET', 's1', ARGV[1]) return {before, redis.call('GET', 's1')}",
    "redis.call('APPEND', KEYS[1], 'tail') error('enough')",
    "local ok = redis.pcall('INCRBY', KEYS[1], ARGV[2]) if type(ok) == 'table' then return ok.err end return ok + 1",
    "for i = 1, 5 do redis.call('HSET', KEYS[2], 'f' .. i, i) end return redis.call('HLEN', KEYS[2])",
    "local n = redis.call('DEL', KEYS[1], KEYS[2]) redis.call('SET', KEYS[1], n) return {n, redis.call('TYPE', KEYS[1])}",
    "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('RENAME', KEYS[1], KEYS[2]) end return false",
    "redis.call('MSET', KEYS[1], ARGV[1], 's4', ARGV[1]) return redis.call('MGET', KEYS[1], 's4', 'none')",
    "local t = {pcall(redis.call, 'LPUSH', KEYS[1], 1)} redis.call('SET', 's2', tostring(t[1])) return tostring(t[2])",
    "redis.call('SELECT', 1) redis.call('SET', KEYS[1], ARGV[1]) redis.call('SELECT', 0) return redis.call('GET', KEYS[1])",
    "return redis.call('SETRANGE', KEYS[1], 10000, ARGV[1])",
    "return cjson.encode({redis.call('GET', KEYS[1]) or cjson.null, #ARGV})",
];

/// Scripts that push to who waits for `l0` and `l1`.
pub const SERVING_SCRIPTS: &[&str] = &[
    "redis.call('RPUSH', 'l0', 'a') return redis.call('RPOP', 'l0')",
    "redis.call('RPUSH', 'l1', 'a', 'b') redis.call('DEL', 'l0') return redis.call('LRANGE', 'l1', 0, -1)",
];

/// Scripts that only read.
pub const READING_SCRIPTS: &[&str] = &[
    "return redis.call('GET', KEYS[1])",
    "return {redis.call('EXISTS', KEYS[1]), redis.call('STRLEN', KEYS[1]), redis.call('TYPE', KEYS[2])}",
    "local t = {} for i, k in ipairs(KEYS) do t[i] = redis.call('EXISTS', k) end return t",
    "return redis.call('GETRANGE', KEYS[1], ARGV[1], -1)",
    "redis.setresp(3) return redis.call('HGETALL', KEYS[2])",
    "local r = redis.pcall('HGET', KEYS[2], 'm1') return type(r) == 'table' and r.err or r",
    "return redis.call('SET', KEYS[1], 1)",
    "return {redis.call('GET', 's0'), redis.call('GET', 's1'), #KEYS, #ARGV}",
    "return nosuchglobal",
    "return {1, 2.7, 'x', {true, false}, nil, 5}",
];
