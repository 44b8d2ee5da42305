//! What lies around a point: GEOSEARCH and the older GEORADIUS commands, shown or stored.

use super::{distance_reply, position, position_reply, unit};
use crate::base::number::{parse_double, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::zset;
use crate::keyspace::Tx;
use crate::resp::Reply;
use crate::storage::Tier;
use crate::types::geo::{self, Found, Position, Shape, Within};
use crate::types::zset::{Element, ZSet};

/// Members that a network thread looks at, distances and all.
const NETWORK_THREAD_MEMBERS: u64 = 1000;

/// What kind of search a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// GEORADIUS and GEORADIUSBYMEMBER, which have their point and radius in fixed places.
    Radius { may_store: bool },
    /// GEOSEARCH, which names them.
    Search,
    /// GEOSEARCHSTORE.
    SearchStore,
}

/// In which order members are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// The point around which a search goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Center {
    Unknown,
    At(Position),
    /// Where a member is; nowhere if there is no such key.
    Member(Option<Position>),
}

impl Center {
    fn position(self) -> Option<Position> {
        match self {
            Self::Unknown => None,
            Self::At(position) => Some(position),
            Self::Member(position) => position,
        }
    }
}

/// What is asked for.
struct Query<'a> {
    kind: Kind,
    center: Center,
    shape: Option<Shape>,
    /// Metres of the unit that distances are given in.
    meters: f64,
    order: Option<Order>,
    /// The most members; 0 means all.
    count: u64,
    any: bool,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    store: Option<&'a [u8]>,
    stores_distance: bool,
}

impl Query<'_> {
    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            center: Center::Unknown,
            shape: None,
            meters: 1.0,
            order: None,
            count: 0,
            any: false,
            with_distance: false,
            with_hash: false,
            with_position: false,
            store: None,
            stores_distance: false,
        }
    }
}

pub(super) fn georadius(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    around_point(context, args, true)
}

pub(super) fn georadius_ro(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    around_point(context, args, false)
}

pub(super) fn georadiusbymember(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    around_member(context, args, true)
}

pub(super) fn georadiusbymember_ro(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    around_member(context, args, false)
}

pub(super) fn geosearch(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let set = context.read::<ZSet>(args.key()?)?;
    let query = Query::of(Kind::Search);
    run(context, args, query, set.as_ref())
}

pub(super) fn geosearchstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let destination = args.key()?;
    let set = context.read::<ZSet>(args.key()?)?;
    let query = Query { store: Some(destination), ..Query::of(Kind::SearchStore) };
    run(context, args, query, set.as_ref())
}

fn around_point(context: &mut Context<'_>, args: &mut Args<'_>, may_store: bool) -> Result<Outcome> {
    let set = context.read::<ZSet>(args.key()?)?;
    let mut query = Query::of(Kind::Radius { may_store });
    query.center = Center::At(position(args.next()?, args.next()?)?);
    query.circle(args)?;
    run(context, args, query, set.as_ref())
}

fn around_member(context: &mut Context<'_>, args: &mut Args<'_>, may_store: bool) -> Result<Outcome> {
    let set = context.read::<ZSet>(args.key()?)?;
    let mut query = Query::of(Kind::Radius { may_store });
    let member = args.next()?;
    match &set {
        Some(set) => {
            query.center = Center::Member(Some(position_of(context, set, member)?));
            query.circle(args)?;
        }
        // Redis does not look at the radius of a search that finds nothing anyway.
        None => drop(args.take(2)?),
    }
    run(context, args, query, set.as_ref())
}

fn position_of(context: &mut Context<'_>, set: &ZSet, member: &[u8]) -> Result<Position> {
    let score = set.score(context.tx, member)?;
    let score = score.ok_or_else(|| Error::client("ERR could not decode requested zset member"))?;
    Ok(Position::of_score(score))
}

impl<'a> Query<'a> {
    /// Reads radius and unit.
    fn circle(&mut self, args: &mut Args<'_>) -> Result<()> {
        let radius = number(args.next()?, "ERR need numeric radius")?;
        if radius < 0.0 {
            return Err(Error::client("ERR radius cannot be negative"));
        }
        self.meters = unit(args.next()?)?;
        self.shape = Some(Shape::Circle { radius: radius * self.meters });
        Ok(())
    }

    /// Reads width, height and unit.
    fn rectangle(&mut self, args: &mut Args<'_>) -> Result<()> {
        let width = number(args.next()?, "ERR need numeric width")?;
        let height = number(args.next()?, "ERR need numeric height")?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::client("ERR height or width cannot be negative"));
        }
        self.meters = unit(args.next()?)?;
        self.shape = Some(Shape::Box { width: width * self.meters, height: height * self.meters });
        Ok(())
    }

    /// Reads the options, in any order.
    fn options(&mut self, context: &mut Context<'_>, args: &mut Args<'a>, set: Option<&ZSet>) -> Result<()> {
        while !args.is_empty() {
            if args.accept("WITHDIST") {
                self.with_distance = true;
            } else if args.accept("WITHHASH") {
                self.with_hash = true;
            } else if args.accept("WITHCOORD") {
                self.with_position = true;
            } else if args.accept("ANY") {
                self.any = true;
            } else if args.accept("ASC") {
                self.order = Some(Order::Nearest);
            } else if args.accept("DESC") {
                self.order = Some(Order::Farthest);
            } else if args.remaining() > 1 && args.accept("COUNT") {
                let count = parse_i64(args.next()?).ok_or(ClientError::NotInteger)?;
                let count = u64::try_from(count).ok().filter(|count| *count > 0);
                self.count = count.ok_or_else(|| Error::client("ERR COUNT must be > 0"))?;
            } else if !(self.target(args)? || self.place(context, args, set)?) {
                return Err(ClientError::Syntax.into());
            }
        }
        Ok(())
    }

    /// Reads where to store, if that is what comes next.
    fn target(&mut self, args: &mut Args<'a>) -> Result<bool> {
        if self.kind == Kind::SearchStore && args.accept("STOREDIST") {
            self.stores_distance = true;
            return Ok(true);
        }
        if self.kind != (Kind::Radius { may_store: true }) || args.remaining() < 2 {
            return Ok(false);
        }
        let (plain, distance) = (args.accept("STORE"), args.accept("STOREDIST"));
        if plain || distance {
            self.store = Some(args.next()?);
            self.stores_distance = distance;
        }
        Ok(plain || distance)
    }

    /// Reads the point or the shape of a GEOSEARCH, if that is what comes next.
    fn place(&mut self, context: &mut Context<'_>, args: &mut Args<'_>, set: Option<&ZSet>) -> Result<bool> {
        if matches!(self.kind, Kind::Radius { .. }) {
            return Ok(false);
        }
        let by_member = matches!(self.center, Center::Member(_));
        let by_point = matches!(self.center, Center::At(_));
        let is_circle = matches!(self.shape, Some(Shape::Circle { .. }));
        let is_box = matches!(self.shape, Some(Shape::Box { .. }));
        if args.remaining() > 1 && !by_point && args.accept("FROMMEMBER") {
            let member = args.next()?;
            let center = set.map(|set| position_of(context, set, member)).transpose()?;
            self.center = Center::Member(center);
        } else if args.remaining() > 2 && !by_member && args.accept("FROMLONLAT") {
            self.center = Center::At(position(args.next()?, args.next()?)?);
        } else if args.remaining() > 2 && !is_box && args.accept("BYRADIUS") {
            self.circle(args)?;
        } else if args.remaining() > 3 && !is_circle && args.accept("BYBOX") {
            self.rectangle(args)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// A number, or this complaint.
fn number(text: &[u8], complaint: &'static str) -> Result<f64> {
    parse_double(text).ok_or_else(|| Error::client(complaint))
}

/// Whether the options go together.
fn check(query: &Query<'_>, name: &[u8]) -> Result<()> {
    let searches = !matches!(query.kind, Kind::Radius { .. });
    let name = String::from_utf8_lossy(name);
    if query.store.is_some() && (query.with_distance || query.with_hash || query.with_position) {
        let what = if searches { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
        let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
        return Err(Error::client(text));
    }
    if searches && query.center == Center::Unknown {
        let text = format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}");
        return Err(Error::client(text));
    }
    if searches && query.shape.is_none() {
        return Err(Error::client(format!("ERR exactly one of BYRADIUS and BYBOX can be specified for {name}")));
    }
    if query.any && query.count == 0 {
        return Err(Error::client("ERR the ANY argument requires COUNT argument"));
    }
    Ok(())
}

fn run<'a>(
    context: &mut Context<'_>,
    args: &mut Args<'a>,
    mut query: Query<'a>,
    set: Option<&ZSet>,
) -> Result<Outcome> {
    query.options(context, args, set)?;
    check(&query, args.all().first().copied().unwrap_or_default())?;
    let found = match (set, query.center.position(), query.shape) {
        (Some(set), Some(center), Some(shape)) => find(context, &query, set, &Within { center, shape })?,
        _ => Vec::new(),
    };
    match query.store {
        Some(destination) => {
            let elements = in_order(&query, found);
            let event = if query.kind == Kind::SearchStore { "geosearchstore" } else { "georadiusstore" };
            zset::replace(context, destination, &elements, event)
        }
        None => Ok(Reply::array(found.into_iter().map(|found| shown(&query, found))).into()),
    }
}

fn find(context: &mut Context<'_>, query: &Query<'_>, set: &ZSet, within: &Within) -> Result<Vec<Found>> {
    let all = if query.count == 0 { usize::MAX } else { usize::try_from(query.count).unwrap_or(usize::MAX) };
    let most = if query.any { all } else { usize::MAX };
    let mut found = geo::search(context.tx, set, within, most, weigh)?;
    // A number of members means the nearest ones, unless any will do.
    let order = query.order.or_else(|| (query.count > 0 && !query.any).then_some(Order::Nearest));
    match order {
        Some(Order::Nearest) => found.sort_by(|one, other| one.distance.total_cmp(&other.distance)),
        Some(Order::Farthest) => found.sort_by(|one, other| other.distance.total_cmp(&one.distance)),
        None => {}
    }
    found.truncate(all);
    Ok(found)
}

/// Many members send the search to the I/O pool, where it runs again.
fn weigh(tx: &Tx, members: u64) -> Result<()> {
    if members > NETWORK_THREAD_MEMBERS && tx.tier() == Tier::Memory {
        return Err(Error::NotInMemory);
    }
    Ok(())
}

/// What is stored, in the order of a sorted set.
fn in_order(query: &Query<'_>, found: Vec<Found>) -> Vec<Element> {
    let score = |found: &Found| if query.stores_distance { found.distance / query.meters } else { found.score };
    let mut elements: Vec<Element> = found.into_iter().map(|found| (found.member.clone(), score(&found))).collect();
    elements.sort_unstable_by(|(one, low), (other, high)| low.total_cmp(high).then_with(|| one.cmp(other)));
    elements
}

/// A member as the reply shows it, with what was asked for.
fn shown(query: &Query<'_>, found: Found) -> Reply {
    let member = Reply::Bulk(found.member);
    if !(query.with_distance || query.with_hash || query.with_position) {
        return member;
    }
    let distance = query.with_distance.then(|| distance_reply(found.distance / query.meters));
    let hash = query.with_hash.then_some(Reply::Integer(found.score as i64));
    let position = query.with_position.then(|| position_reply(found.position));
    Reply::array([Some(member), distance, hash, position].into_iter().flatten())
}
