//! What the codec costs on the hot path, apart from any socket: finding the
//! requests of a pipeline, and writing the small replies to them.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferrock::resp::{Limits, Parsed, Protocol, Reply, RequestParser, encode_command, write};

/// Requests in a pipeline, as in `redis-benchmark -P 16`.
const PIPELINE: usize = 16;

fn pipeline(arguments: &[&[u8]]) -> Vec<u8> {
    encode_command(arguments).repeat(PIPELINE)
}

/// Parses every request of `buffer` and returns the bytes of their arguments.
fn parse_all(parser: &mut RequestParser, mut buffer: &[u8]) -> usize {
    let mut bytes = 0;
    while let Ok(Parsed::Request { consumed }) = parser.parse(buffer, Limits::default()) {
        bytes += parser.arguments(buffer).map(<[u8]>::len).sum::<usize>();
        buffer = &buffer[consumed..];
    }
    bytes
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse 16 requests");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let requests: [(&str, Vec<u8>); 4] = [
        ("GET", pipeline(&[b"GET", b"key:000000012345"])),
        ("SET of 64 bytes", pipeline(&[b"SET", b"key:000000012345", &[b'v'; 64]])),
        ("HSET of 10 fields", pipeline(&[&b"field"[..]; 22])),
        ("inline GET", b"GET key:000000012345\r\n".repeat(PIPELINE)),
    ];
    for (name, buffer) in &requests {
        let mut parser = RequestParser::default();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| parse_all(&mut parser, black_box(buffer)));
        });
    }
    group.finish();
}

fn write_replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("write 16 replies");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let field = Bytes::from_static(b"field:0001");
    let replies: [(&str, Reply); 6] = [
        ("OK", Reply::Ok),
        ("integer", Reply::Integer(1_234_567)),
        ("bulk of 64 bytes", Reply::bulk(vec![b'v'; 64])),
        ("nil", Reply::Nil),
        ("error", Reply::error("ERR value is not an integer or out of range")),
        ("10 fields", Reply::Fields(vec![(field.clone(), field); 10])),
    ];
    for (name, reply) in &replies {
        let mut out = Vec::with_capacity(16 * 1024);
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..PIPELINE {
                    write(black_box(reply), Protocol::Resp2, &mut out);
                }
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, write_replies);
criterion_main!(benches);
