//! Commands from a grammar: a line such as `SET $key $value [NX | XX] [EX $ttl]`
//! stands for all the commands it describes. Square brackets are optional,
//! round ones a choice, `*` after a group repeats it, and `$name` draws an
//! argument. One command in twenty is then spoiled, so that every parser meets
//! what it must refuse. All of it is a pure function of the seed.

use fastrand::Rng;

const REPEATS_MAX: usize = 4;
/// One command in so many gets an argument dropped, added or replaced.
const SPOILED_ONE_IN: usize = 20;
/// One key in so many belongs to another family, so that types collide.
const FOREIGN_KEY_ONE_IN: usize = 12;
const KEYS_A_FAMILY: usize = 5;

pub type Command = Vec<Vec<u8>>;

/// A family of commands: its name, the letter of its keys, its grammar.
pub struct Family {
    pub name: &'static str,
    pub key_letter: char,
    pub lines: Vec<Line>,
}

pub struct Line {
    weight: usize,
    sequence: Vec<Node>,
}

#[derive(Debug)]
enum Node {
    Word(String),
    Drawn(String),
    Choice { alternatives: Vec<Vec<Node>>, optional: bool, repeated: bool },
}

impl Family {
    /// Reads a family's lines; `3: ` before a line gives it three times the weight.
    ///
    /// # Panics
    /// On a line that is no grammar: the tables are part of this test.
    pub fn new(name: &'static str, key_letter: char, table: &str) -> Self {
        let lines = table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let lines = lines.map(|line| {
            let (weight, rest) = match line.split_once(": ") {
                Some((digits, rest)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    (digits.parse().expect("digits"), rest)
                }
                _ => (1, line),
            };
            let spaced = rest.replace('[', " [ ").replace(']', " ] ").replace('(', " ( ").replace(')', " ) ");
            let words: Vec<&str> = spaced.split_whitespace().collect();
            let mut at = 0;
            let sequence = parse(&words, &mut at);
            assert!(at == words.len(), "unbalanced grammar: {line}");
            Line { weight, sequence }
        });
        Self { name, key_letter, lines: lines.collect() }
    }

    /// Draws one command of this family.
    pub fn draw(&self, dice: &mut Dice) -> Command {
        let total = self.lines.iter().map(|line| line.weight).sum();
        let mut point = dice.rng.usize(0..total);
        let line = self.lines.iter().find(|line| {
            let here = point < line.weight;
            point = point.wrapping_sub(line.weight);
            here
        });
        let mut command = Vec::new();
        let letter = self.key_letter;
        expand(&line.expect("weights add up").sequence, letter, dice, &mut command);
        if dice.one_in(SPOILED_ONE_IN) && !stays_whole(&command) {
            dice.spoil(&mut command);
        }
        command
    }
}

/// A blocking command whose timeout was spoiled to 0 would wait for ever, and a
/// SORT whose pattern was spoiled would leave a set in each server's own order; sorted
/// sets that are walked by name need one score.
fn stays_whole(command: &Command) -> bool {
    let name = command.first().map(Vec::as_slice).unwrap_or_default();
    let has_one_score = name == b"ZADD" && command.get(1).is_some_and(|key| key.starts_with(b"y"));
    let blocks = command.iter().any(|word| word == b"BLOCK");
    blocks
        || has_one_score
        || [b"BL".as_slice(), b"BR", b"BZ", b"blocked", b"SORT"].iter().any(|start| name.starts_with(start))
}

fn parse(words: &[&str], at: &mut usize) -> Vec<Node> {
    let mut sequence = Vec::new();
    while let Some(word) = words.get(*at) {
        match *word {
            "]" | ")" | "|" => break,
            "[" | "(" => {
                let optional = *word == "[";
                *at += 1;
                let mut alternatives = vec![parse(words, at)];
                while words.get(*at) == Some(&"|") {
                    *at += 1;
                    alternatives.push(parse(words, at));
                }
                *at += 1;
                let repeated = words.get(*at) == Some(&"*");
                *at += usize::from(repeated);
                sequence.push(Node::Choice { alternatives, optional, repeated });
            }
            word => {
                *at += 1;
                sequence.push(match word.strip_prefix('$') {
                    Some(name) => Node::Drawn(name.to_owned()),
                    None => Node::Word(word.to_owned()),
                });
            }
        }
    }
    sequence
}

fn expand(sequence: &[Node], letter: char, dice: &mut Dice, command: &mut Command) {
    for node in sequence {
        match node {
            Node::Word(word) => command.push(word.clone().into_bytes()),
            Node::Drawn(name) => command.push(dice.draw(name, letter)),
            Node::Choice { alternatives, optional, repeated } => {
                if *optional && dice.rng.bool() {
                    continue;
                }
                let times = if *repeated { dice.rng.usize(1..=REPEATS_MAX) } else { 1 };
                for _ in 0..times {
                    let chosen = dice.rng.usize(0..alternatives.len());
                    expand(&alternatives[chosen], letter, dice, command);
                }
            }
        }
    }
}

/// The source of every random decision of a case.
pub struct Dice {
    pub rng: Rng,
    /// Letters of the families in play, for keys that collide.
    letters: Vec<char>,
    /// Grows with each stream entry, so that most of them are accepted.
    entry: u64,
}

impl Dice {
    pub fn new(seed: u64, letters: Vec<char>) -> Self {
        Self { rng: Rng::with_seed(seed), letters, entry: 0 }
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.rng.usize(0..count) == 0
    }

    fn pick(&mut self, words: &[&str]) -> Vec<u8> {
        words[self.rng.usize(0..words.len())].as_bytes().to_vec()
    }

    /// A time to live that hardly comes twice: whether a deadline is later (GT) than one that was
    /// set from the same number is up to the millisecond at which each server ran the command.
    fn seconds(&mut self) -> u32 {
        self.rng.u32(200..200_000)
    }

    /// An argument by the name the grammar gives it.
    ///
    /// # Panics
    /// On a name the grammar tables misspell.
    fn draw(&mut self, name: &str, letter: char) -> Vec<u8> {
        match name {
            "key" => self.key(letter),
            "any" => {
                let letters = self.letters.len();
                let letter = self.letters[self.rng.usize(0..letters)];
                self.key(letter)
            }
            "field" | "member" => self.member(),
            "value" => self.value(),
            "int" => self.integer(),
            "index" => self.index(),
            "count" => self.pick(&["0", "1", "1", "2", "3", "5", "10", "100", "-1", "-3", "x", ""]),
            "positive" => self.pick(&["1", "1", "2", "3", "5", "10", "100", "0", "-1"]),
            "float" => self.float(),
            "score" => self.score(),
            "min" | "max" => self.bound(),
            "lex" => self.pick(&["-", "+", "[a", "(a", "[c", "(c", "[zz", "(", "[", "[m1", "(m3", "a", ""]),
            "ttl" if self.one_in(3) => self.pick(&["100", "0", "-1", "9223372036854775807", "x", "1.5"]),
            "ttl" => self.seconds().to_string().into_bytes(),
            "ms" if self.one_in(3) => self.pick(&["100300", "0", "-1", "9223372036854775807", "x"]),
            "ms" => (self.seconds() * 1000 + 250).to_string().into_bytes(),
            "at" => self.pick(&["4102444800", "4102444801", "1", "0", "-1", "9223372036854775807"]),
            "msat" => self.pick(&["4102444800123", "4102444800999", "1", "0", "-5", "9223372036854775807"]),
            "pattern" => {
                self.pick(&["*", "s*", "?1", "[a-h]*", "f?", "m*", "*1", "", "[^s]*", "nothing", "\\*", "[z-a]1"])
            }
            "bit" => self.pick(&["0", "1", "1", "0", "2", "-1", "x"]),
            "offset" => {
                self.pick(&["0", "1", "7", "8", "9", "31", "100", "1000", "33000", "70001", "-1", "4294967296", "x"])
            }
            "byte" => self.pick(&["0", "1", "5", "10", "100", "4095", "4096", "8190", "70000", "-1", "x"]),
            "bittype" => {
                self.pick(&["u1", "u8", "i8", "u16", "i16", "i5", "u63", "i64", "u64", "i0", "u3", "x8", "i65"])
            }
            "bitpos" => self.pick(&["0", "1", "5", "8", "100", "#0", "#1", "#5", "#100", "-1", "x"]),
            "longitude" => self.pick(&["13.361389", "15.087269", "-122.4", "2.35", "0", "180", "-180", "181", "x"]),
            "latitude" => self.pick(&["38.115556", "37.502669", "37.77", "48.85", "0", "85", "-85", "86", "x"]),
            "radius" => self.pick(&["100", "200", "0", "1.5", "20000", "-1", "x"]),
            "unit" => self.pick(&["m", "km", "mi", "ft", "KM", "yd"]),
            "newid" => {
                self.entry += 1;
                format!("{}-{}", 1 + self.entry / 3, self.entry % 3 + 1).into_bytes()
            }
            "id" => self.pick(&[
                "0",
                "0-0",
                "1-1",
                "2-1",
                "3",
                "5-1",
                "10-3",
                "-",
                "+",
                "$",
                ">",
                "(2-1",
                "x",
                "1-x",
                "18446744073709551615-18446744073709551615",
            ]),
            // Above what is added, since 7.2 minds what was deleted and 7.0 does not.
            "lastid" => self.pick(&["900", "900-1", "901-0", "x", "-", "*"]),
            "group" => self.pick(&["g1", "g1", "g2", "nothing"]),
            "consumer" => self.pick(&["c1", "c2", "c3"]),
            "db" => self.pick(&["0", "0", "0", "1", "16", "-1", "x"]),
            "script" => self.pick(super::families::WRITING_SCRIPTS),
            "serving_script" => self.pick(super::families::SERVING_SCRIPTS),
            "reading_script" => self.pick(super::families::READING_SCRIPTS),
            other => panic!("the grammar names ${other}, which nobody draws"),
        }
    }

    fn key(&mut self, letter: char) -> Vec<u8> {
        let letter = if self.one_in(FOREIGN_KEY_ONE_IN) {
            let letters = self.letters.len();
            self.letters[self.rng.usize(0..letters)]
        } else {
            letter
        };
        match self.rng.usize(0..60) {
            0 => Vec::new(),
            1 => b"\x00bin\xff\r\n".to_vec(),
            _ => format!("{letter}{}", self.rng.usize(0..KEYS_A_FAMILY)).into_bytes(),
        }
    }

    fn member(&mut self) -> Vec<u8> {
        match self.rng.usize(0..24) {
            0 => Vec::new(),
            1 => b"\x00\xff\n".to_vec(),
            2 => vec![b'L'; 70],
            3 | 4 => self.pick(&["1", "2", "3", "-5", "100000", "9223372036854775807", "007", "3.0"]),
            5 => format!("m{}", self.rng.usize(0..300)).into_bytes(),
            _ => format!("m{}", self.rng.usize(0..8)).into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.usize(0..20) {
            0 => Vec::new(),
            1 => b"\x00\x80\xff\r\n".to_vec(),
            2 => vec![b'v'; self.rng.usize(40..50)],
            3 => vec![b'w'; self.rng.usize(60..70)],
            4 => vec![b'x'; self.rng.usize(900..1200)],
            5 => {
                let length = self.rng.usize(4000..9000);
                (0..length).map(|at| b'a' + (at % 26) as u8).collect()
            }
            6 | 7 => self.float(),
            8..=12 => self.integer(),
            _ => self.pick(&["hello", "world", "foo", "ohmytext", "mynewtext", "a"]),
        }
    }

    fn integer(&mut self) -> Vec<u8> {
        match self.rng.usize(0..16) {
            0 => self.pick(&[
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775800",
                "9223372036854775808",
            ]),
            1 => self.pick(&["", "x", "1.0", " 1", "1 ", "+1", "01", "-0", "0x10", "1e3"]),
            _ => self.rng.i64(-20..100).to_string().into_bytes(),
        }
    }

    fn index(&mut self) -> Vec<u8> {
        match self.rng.usize(0..16) {
            0 => self.pick(&["9223372036854775807", "-9223372036854775808", "1000000", "-1000000"]),
            1 => self.pick(&["", "x", "1.5"]),
            2 => self.rng.i64(3000..9000).to_string().into_bytes(),
            _ => self.rng.i64(-12..12).to_string().into_bytes(),
        }
    }

    /// Numbers whose text is the same in every version: sixteenths.
    fn float(&mut self) -> Vec<u8> {
        match self.rng.usize(0..14) {
            0 => self.pick(&["nan", "inf", "-inf", "", "x", "1e400", " 1", "1 ", "0x1p3", "1e", "."]),
            1 => self.pick(&["1e3", "-1.5e2", ".5", "5.", "-0", "0.0", "1e15", "1e-3"]),
            _ => {
                let sixteenths = self.rng.i32(-400..400);
                (f64::from(sixteenths) / 16.0).to_string().into_bytes()
            }
        }
    }

    fn score(&mut self) -> Vec<u8> {
        match self.rng.usize(0..12) {
            0 => self.pick(&["inf", "-inf", "+inf", "nan", "", "x", "1e300", "-0", "0"]),
            1 => self.float(),
            _ => self.rng.i32(-5..10).to_string().into_bytes(),
        }
    }

    fn bound(&mut self) -> Vec<u8> {
        match self.rng.usize(0..10) {
            0 | 1 => b"-inf".to_vec(),
            2 | 3 => b"+inf".to_vec(),
            4 => self.pick(&["(1", "(0", "(-inf", "(x", "x", "", "(", "nan", "(2.5"]),
            _ => self.rng.i32(-5..10).to_string().into_bytes(),
        }
    }

    fn junk(&mut self) -> Vec<u8> {
        self.pick(&["", "x", "-1", "0", "NX", "GET", "COUNT", "9223372036854775808", "LIMIT", "1e10", "nosuch"])
    }

    fn spoil(&mut self, command: &mut Command) {
        let at = self.rng.usize(0..command.len());
        match self.rng.usize(0..5) {
            0 if command.len() > 1 => {
                command.pop();
            }
            1 if at > 0 => {
                command.remove(at);
            }
            2 if at > 0 => command[at] = self.junk(),
            3 => command[0] = command[0].to_ascii_lowercase(),
            _ => {
                let junk = self.junk();
                command.push(junk);
            }
        }
    }
}
