//! The geo family: positions in a sorted set, their distances, and what lies around a point.
//!
//! - here: the entries; positions put and read. `search.rs`: what lies in a circle or a box.

mod search;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, Arg, block, double, integer, key, one_of, text, token};
use super::outcome::Outcome;
use super::request::Args;
use super::zset;
use crate::base::number::{LongDouble, parse_double};
use crate::base::{ClientError, Error, Result};
use crate::resp::Reply;
use crate::types::geo::Position;
use crate::types::zset::{Rules, ZSet};

const UNIT: Arg = one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]);
const ORDER: Arg = one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional();
const COUNT: Arg =
    block("count-block", &[integer("count").after("COUNT"), token("any", "ANY").optional().since("6.2.0")]).optional();
const WITH_COORD: Arg = token("withcoord", "WITHCOORD").optional();
const WITH_DIST: Arg = token("withdist", "WITHDIST").optional();
const WITH_HASH: Arg = token("withhash", "WITHHASH").optional();
const FROM: Arg = one_of(
    "from",
    &[
        text("member").after("FROMMEMBER"),
        block("fromlonlat", &[double("longitude"), double("latitude")]).after("FROMLONLAT"),
    ],
);
const BY: Arg = one_of(
    "by",
    &[
        block("circle", &[double("radius").after("BYRADIUS"), UNIT]),
        block("box", &[double("width").after("BYBOX"), double("height"), UNIT]),
    ],
);
const STORE: Arg = key("storekey", Access::Overwrite).after("STORE").optional();
const STORE_DIST: Arg = key("storedistkey", Access::Overwrite).after("STOREDIST").optional();

pub static COMMANDS: &[Command] = &[
    Command {
        name: "GEOADD",
        summary: "Adds members at positions, or moves them.",
        since: "3.2.0",
        complexity: "O(log(N))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("key", Access::Modify),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).optional().since("6.2.0"),
            token("change", "CH").optional().since("6.2.0"),
            block("data", &[double("longitude"), double("latitude"), text("member")]).many(),
        ],
        run: geoadd,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEODIST",
        summary: "Tells the distance between two members.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("member1"), text("member2"), UNIT.optional()],
        run: geodist,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEOHASH",
        summary: "Returns the positions of members as geohash strings.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("member").many().optional()],
        run: geohash,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEOPOS",
        summary: "Returns the positions of members.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("member").many().optional()],
        run: geopos,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEORADIUS",
        summary: "Returns or stores the members in a circle around a point.",
        since: "3.2.0",
        complexity: "O(N+log(M))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("key", Access::Read),
            double("longitude"),
            double("latitude"),
            double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
            STORE,
            STORE_DIST,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
        run: search::georadius,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEORADIUS_RO",
        summary: "Returns the members in a circle around a point.",
        since: "3.2.10",
        complexity: "O(N+log(M))",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            double("longitude"),
            double("latitude"),
            double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
        run: search::georadius_ro,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEORADIUSBYMEMBER",
        summary: "Returns or stores the members in a circle around one of them.",
        since: "3.2.0",
        complexity: "O(N+log(M))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("key", Access::Read),
            text("member"),
            double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
            STORE,
            STORE_DIST,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: search::georadiusbymember,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEORADIUSBYMEMBER_RO",
        summary: "Returns the members in a circle around one of them.",
        since: "3.2.10",
        complexity: "O(N+log(M))",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            text("member"),
            double("radius"),
            UNIT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
            COUNT,
            ORDER,
        ],
        deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
        run: search::georadiusbymember_ro,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEOSEARCH",
        summary: "Returns the members in a circle or a box.",
        since: "6.2.0",
        complexity: "O(N+log(M))",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), FROM, BY, ORDER, COUNT, WITH_COORD, WITH_DIST, WITH_HASH],
        run: search::geosearch,
        ..Command::of(Group::Geo)
    },
    Command {
        name: "GEOSEARCHSTORE",
        summary: "Stores the members in a circle or a box.",
        since: "6.2.0",
        complexity: "O(N+log(M))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("destination", Access::Overwrite),
            key("source", Access::Read),
            FROM,
            BY,
            ORDER,
            COUNT,
            token("storedist", "STOREDIST").optional(),
        ],
        run: search::geosearchstore,
        ..Command::of(Group::Geo)
    },
];

fn geoadd(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let mut rules = Rules::default();
    let mut counts_changes = false;
    loop {
        if args.accept("NX") {
            rules.new_only = true;
        } else if args.accept("XX") {
            rules.present_only = true;
        } else if args.accept("CH") {
            counts_changes = true;
        } else {
            break;
        }
    }
    let (triples, rest) = args.rest().as_chunks::<3>();
    if !rest.is_empty() || (rules.new_only && rules.present_only) {
        return Err(ClientError::Syntax.into());
    }
    let mut elements = Vec::with_capacity(triples.len());
    for [longitude, latitude, member] in triples {
        elements.push((position(longitude, latitude)?.score(), *member));
    }
    Ok(Outcome::count(zset::add(context, key, &elements, rules, counts_changes)?))
}

/// A position as clients write it.
fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position> {
    let degrees = |text| parse_double(text).ok_or(ClientError::NotFloat);
    let position = Position { longitude: degrees(longitude)?, latitude: degrees(latitude)? };
    if position.is_valid() {
        return Ok(position);
    }
    let Position { longitude, latitude } = position;
    Err(Error::client(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// How many metres a unit has.
fn unit(word: &[u8]) -> Result<f64> {
    match word.to_ascii_lowercase().as_slice() {
        b"m" => Ok(1.0),
        b"km" => Ok(1000.0),
        b"ft" => Ok(0.3048),
        b"mi" => Ok(1609.34),
        _ => Err(Error::client("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// A distance as replies show it.
fn distance_reply(distance: f64) -> Reply {
    Reply::copy(format!("{distance:.4}"))
}

/// A position as replies show it.
fn position_reply(position: Position) -> Reply {
    let degrees = |value| LongDouble::of(value).map_or(Reply::Nil, |value| Reply::Digits(value.to_text().into()));
    Reply::Array(vec![degrees(position.longitude), degrees(position.latitude)])
}

fn geodist(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, from, to) = (args.key()?, args.next()?, args.next()?);
    let meters = match args.next_if_any() {
        Some(_) if !args.is_empty() => return Err(ClientError::Syntax.into()),
        Some(word) => unit(word)?,
        None => 1.0,
    };
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Outcome::nil()) };
    let scores = (set.score(context.tx, from)?, set.score(context.tx, to)?);
    let (Some(from), Some(to)) = scores else { return Ok(Outcome::nil()) };
    let distance = Position::of_score(from).distance_to(Position::of_score(to));
    Ok(distance_reply(distance / meters).into())
}

fn geopos(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let show = |score: Option<f64>| score.map_or(Reply::NilArray, |score| position_reply(Position::of_score(score)));
    Ok(Reply::array(scores(context, args)?.into_iter().map(show)).into())
}

fn geohash(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let show = |score: Option<f64>| Reply::optional(score.map(Position::text_of_score));
    Ok(Reply::array(scores(context, args)?.into_iter().map(show)).into())
}

/// The scores of members.
fn scores(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Vec<Option<f64>>> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    match context.read::<ZSet>(key)? {
        None => Ok(vec![None; members.len()]),
        Some(set) => set.scores(context.tx, members),
    }
}
