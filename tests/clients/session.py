"""A session of redis-py: strings, hashes, pipelines and SCAN in one protocol version.

    session.py PORT 2|3
"""

import sys

import redis


def strings(client):
    assert client.set("greeting", "hello") is True
    assert client.get("greeting") == "hello"
    assert client.set("greeting", "other", nx=True) is None
    assert client.set("greeting", "new", get=True) == "hello"
    assert client.append("greeting", "!") == 4
    assert client.incrby("counter", 41) == 41
    assert client.incr("counter") == 42
    assert client.incrbyfloat("float", 1.5) == 1.5
    assert client.mset({"a": "1", "b": "2"}) is True
    assert client.mget("a", "b", "nothing") == ["1", "2", None]
    assert client.getrange("greeting", 0, 1) == "ne"
    assert client.expire("a", 100) is True
    assert 0 < client.ttl("a") <= 100
    assert client.delete("a", "b", "nothing") == 2
    assert client.exists("greeting") == 1
    assert client.getdel("greeting") == "new!"
    binary = redis.Redis(port=client.connection_pool.connection_kwargs["port"])
    binary.set(b"\x00\xff", bytes(range(256)))
    assert binary.get(b"\x00\xff") == bytes(range(256))
    binary.set("large", b"x" * 3_000_000)
    assert len(binary.get("large")) == 3_000_000
    binary.delete("large", b"\x00\xff")


def hashes(client):
    assert client.hset("user", mapping={"name": "Ann", "age": "30"}) == 2
    assert client.hget("user", "name") == "Ann"
    assert client.hgetall("user") == {"name": "Ann", "age": "30"}
    assert client.hincrby("user", "age", 5) == 35
    assert client.hmget("user", "age", "nothing") == ["35", None]
    assert sorted(client.hkeys("user")) == ["age", "name"]
    assert client.hexists("user", "name") is True
    assert client.hdel("user", "name", "nothing") == 1
    assert client.hlen("user") == 1
    fields = {f"field:{number}": str(number) for number in range(2000)}
    client.hset("wide", mapping=fields)
    assert client.hlen("wide") == 2000
    assert dict(client.hscan_iter("wide", count=100)) == fields


def pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for number in range(500):
            pipe.set(f"pipe:{number}", number)
            pipe.get(f"pipe:{number}")
        replies = pipe.execute()
    assert replies[1::2] == [str(number) for number in range(500)]
    with client.pipeline(transaction=True) as pipe:
        pipe.incr("counter")
        pipe.hset("user", "age", 1)
        pipe.get("counter")
        assert pipe.execute() == [43, 0, "43"]
    try:
        client.hget("counter", "field")
    except redis.ResponseError as error:
        assert str(error).startswith("WRONGTYPE"), error
    else:
        raise AssertionError("a wrong type was not refused")


def scan(client):
    found = set(client.scan_iter(match="pipe:*", count=50))
    assert found == {f"pipe:{number}" for number in range(500)}
    assert set(client.scan_iter(count=50, _type="hash")) == {"user", "wide"}


def main():
    port, protocol = int(sys.argv[1]), int(sys.argv[2])
    client = redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="session")
    client.flushall()
    assert client.ping() is True
    assert client.client_getname() == "session"
    assert client.info("server")["redis_version"].startswith("7.")
    for part in (strings, hashes, pipelines, scan):
        part(client)
    assert client.dbsize() == 504, client.dbsize()
    print(f"redis-py {redis.__version__}, RESP{protocol}: passed")


main()
