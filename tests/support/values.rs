//! Values to fill a server with.

use super::{Connection, Reply};

/// A command's words.
pub type Words = Vec<Vec<u8>>;

/// Random bytes; those of a seed are always the same.
pub struct Noise(fastrand::Rng);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.0.u8(..)).collect()
    }
}

/// A command.
pub fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}

/// A collection of each type with three elements and one with `many`, each under `<prefix>:<type>:<size>`; hashes
/// have a deadline, streams a group.
pub fn collections(prefix: u64, many: usize, noise: &mut Noise) -> Vec<Words> {
    let mut commands = Vec::new();
    let mut call = |parts: &[&[u8]]| commands.push(words(parts));
    for size in [3, many] {
        let key = |kind: &str| format!("{prefix}:{kind}:{size}").into_bytes();
        for number in 0..size {
            let (name, value) = (format!("e{number}").into_bytes(), noise.bytes(20));
            call(&[b"HSET", &key("hash"), &name, &value]);
            call(&[b"RPUSH", &key("list"), &value]);
            call(&[b"SADD", &key("set"), &value]);
            call(&[b"ZADD", &key("zset"), number.to_string().as_bytes(), &value]);
            call(&[b"XADD", &key("stream"), format!("{}-1", number + 1).as_bytes(), &name, &value]);
        }
        call(&[b"XGROUP", b"CREATE", &key("stream"), b"group", b"0"]);
        call(&[b"PEXPIREAT", &key("hash"), b"4102444800000"]);
    }
    commands
}

/// Runs commands, none of which may fail.
///
/// # Panics
/// When one fails.
pub fn run(client: &mut Connection, commands: &[Words]) {
    for some in commands.chunks(500) {
        let replies = client.pipeline(some).expect("the server answers");
        replies.iter().for_each(|reply: &Reply| assert!(!reply.is_error(), "{reply:?}"));
    }
}
