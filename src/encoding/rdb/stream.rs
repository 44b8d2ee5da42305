//! Streams: entries in runs of bytes ("listpacks"), each below an id that its own are counted
//! from, then what the stream knows of itself, then its groups.
//!
//! ```text
//! count of runs · (string of 16 bytes: ms u64 BE, seq u64 BE · string: listpack) …
//! length · last id · [2: first id · max deleted id · entries added] · count of groups · groups
//! group:    name · last id · [2: entries read] · count · (16 bytes of id · ms u64 · deliveries) …
//!           count of consumers · (name · seen ms u64 · [3: active ms u64] · count · (16 bytes of id) …) …
//! listpack: count · deleted · count of names · names · 0 · entries
//! entry:    flags · ms · seq (both counted from the id above) · [count of names] · names and values · elements
//! ```
//!
//! `[2: …]` is there from the second layout on. An entry of the flag [`SAME_FIELDS`] has the names
//! of the head and gives values only.

use std::io::{Read, Write};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::input::Input;
use super::packed::{Layout, ListpackWriter, Packed};
use super::write::Output;
use super::{RdbError, Result};
use crate::encoding::piece::{Consumer, Group, Pending, Piece, StreamId, StreamState};

/// The entry is deleted.
const DELETED: i64 = 1;
/// The entry has the names of the head.
const SAME_FIELDS: i64 = 2;
/// What stands for "not known" in a group's entries read.
const UNKNOWN: u64 = u64::MAX;
/// How many entries share a run, as Redis' `stream-node-max-entries`, and about how many bytes.
const RUN_ENTRIES: u64 = 100;
const RUN_BYTES: u64 = 64 << 10;

type Pairs = Vec<(Bytes, Bytes)>;

/// A run of entries being read.
struct Run {
    packed: Packed,
    above: StreamId,
    names: Vec<Bytes>,
}

impl Run {
    fn open(above: &[u8], bytes: Bytes) -> Result<Self, &'static str> {
        let above = id_of(above).ok_or("the id above a run of entries")?;
        let mut packed = Packed::open(bytes, Layout::Listpack)?;
        packed.expect_integer()?;
        packed.expect_integer()?;
        let count = packed.expect_integer()?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(packed.expect()?.into_bytes());
        }
        packed.expect_integer()?;
        Ok(Self { packed, above, names })
    }

    /// The next entry that is not deleted.
    fn next(&mut self) -> Result<Option<(StreamId, Pairs)>, &'static str> {
        loop {
            let Some(flags) = self.packed.next()? else { return Ok(None) };
            let super::packed::Element::Integer(flags) = flags else { return Err("the flags of an entry") };
            let (ms, seq) = (self.packed.expect_integer()?, self.packed.expect_integer()?);
            let id = StreamId {
                ms: self.above.ms.wrapping_add(ms.cast_unsigned()),
                seq: self.above.seq.wrapping_add(seq.cast_unsigned()),
            };
            let fields = self.fields(flags)?;
            self.packed.expect_integer()?;
            if flags & DELETED == 0 {
                return Ok(Some((id, fields)));
            }
        }
    }

    fn fields(&mut self, flags: i64) -> Result<Pairs, &'static str> {
        let mut pairs = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for name in &self.names {
                pairs.push((name.clone(), self.packed.expect()?.into_bytes()));
            }
            return Ok(pairs);
        }
        for _ in 0..self.packed.expect_integer()? {
            let name = self.packed.expect()?.into_bytes();
            pairs.push((name, self.packed.expect()?.into_bytes()));
        }
        Ok(pairs)
    }
}

fn id_of(bytes: &[u8]) -> Option<StreamId> {
    let (ms, rest) = bytes.split_first_chunk::<8>()?;
    let seq = <[u8; 8]>::try_from(rest).ok()?;
    Some(StreamId { ms: u64::from_be_bytes(*ms), seq: u64::from_be_bytes(seq) })
}

/// Reads a stream.
pub(super) struct StreamReader {
    version: u8,
    runs: u64,
    run: Option<Run>,
    last: Option<StreamId>,
    count: u64,
    /// Groups that are left, once their number is known.
    groups: Option<u64>,
}

impl StreamReader {
    pub fn begin<R: Read>(input: &mut Input<R>, version: u8) -> Result<Self> {
        Ok(Self { version, runs: input.length()?, run: None, last: None, count: 0, groups: None })
    }

    pub fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Piece>> {
        if let Some(piece) = self.next_entry(input)? {
            return Ok(Some(piece));
        }
        match self.groups {
            None => self.state(input).map(Some),
            Some(0) => Ok(None),
            Some(left) => {
                self.groups = Some(left - 1);
                self.group(input).map(Some)
            }
        }
    }

    fn next_entry<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Piece>> {
        loop {
            if let Some(run) = &mut self.run {
                if let Some((id, fields)) = run.next().map_err(|what| input.damaged(what))? {
                    if self.last.is_some_and(|last| last >= id) {
                        return Err(input.damaged("entries of a stream out of order"));
                    }
                    self.last = Some(id);
                    self.count += 1;
                    return Ok(Some(Piece::Entry { id, fields }));
                }
                self.run = None;
            }
            if self.runs == 0 {
                return Ok(None);
            }
            self.runs -= 1;
            let above = input.string()?;
            let bytes = input.string()?;
            self.run = Some(Run::open(&above, bytes).map_err(|what| input.damaged(what))?);
        }
    }

    fn state<R: Read>(&mut self, input: &mut Input<R>) -> Result<Piece> {
        let claimed = input.length()?;
        if claimed != self.count {
            return Err(input.damaged("a stream does not have as many entries as it says"));
        }
        let last_id = lengths_id(input)?;
        let mut state = StreamState { last_id, entries_added: claimed, ..StreamState::default() };
        if self.version >= 2 {
            // The first id follows from the entries.
            lengths_id(input)?;
            state.max_deleted_id = lengths_id(input)?;
            state.entries_added = input.length()?;
        }
        if self.last.is_some_and(|last| last > last_id) {
            return Err(input.damaged("a stream has entries behind its last id"));
        }
        state.groups = input.length()?;
        self.groups = Some(state.groups);
        Ok(Piece::State(state))
    }

    fn group<R: Read>(&self, input: &mut Input<R>) -> Result<Piece> {
        let name = input.string()?;
        let last_id = lengths_id(input)?;
        let entries_read = if self.version >= 2 { input.length()? } else { UNKNOWN };
        let mut pending = Vec::new();
        let mut places = FxHashMap::default();
        for _ in 0..input.length()? {
            let id = raw_id(input)?;
            let delivered_ms = input.u64_le()?;
            let deliveries = input.length()?;
            if pending.last().is_some_and(|last: &Pending| last.id >= id) {
                return Err(input.damaged("pending entries of a group out of order"));
            }
            places.insert(id, pending.len());
            pending.push(Pending { id, consumer: u32::MAX, delivered_ms, deliveries });
        }
        let mut consumers = Vec::new();
        for number in 0..input.length()? {
            consumers.push(self.consumer(input)?);
            for _ in 0..input.length()? {
                let place = places.get(&raw_id(input)?);
                let entry = place.and_then(|place| pending.get_mut(*place));
                let entry = entry.ok_or_else(|| input.damaged("a consumer has an entry that its group does not"))?;
                entry.consumer = number as u32;
            }
        }
        if pending.iter().any(|entry| entry.consumer == u32::MAX) {
            return Err(input.damaged("a pending entry that no consumer has"));
        }
        let entries_read = Some(entries_read).filter(|count| *count != UNKNOWN);
        Ok(Piece::Group(Group { name, last_id, entries_read, consumers, pending }))
    }

    fn consumer<R: Read>(&self, input: &mut Input<R>) -> Result<Consumer> {
        let name = input.string()?;
        let seen_ms = input.u64_le()?;
        // Before the third layout nobody noted when a consumer was active.
        let active_ms = if self.version >= 3 { input.u64_le()? } else { seen_ms };
        let active_ms = Some(active_ms).filter(|ms| *ms != u64::MAX);
        Ok(Consumer { name, seen_ms, active_ms })
    }
}

fn lengths_id<R: Read>(input: &mut Input<R>) -> Result<StreamId> {
    Ok(StreamId { ms: input.length()?, seq: input.length()? })
}

fn raw_id<R: Read>(input: &mut Input<R>) -> Result<StreamId> {
    Ok(StreamId { ms: u64::from_be_bytes(input.array()?), seq: u64::from_be_bytes(input.array()?) })
}

/// Writes a stream, in the second layout.
pub(super) struct StreamWriter {
    count: u64,
    /// Entries that are to come.
    left: u64,
    groups: Option<u64>,
    /// How many entries share a run, once the first of them are known.
    per_run: Option<u64>,
    gathered: Vec<(StreamId, Pairs)>,
    first: Option<StreamId>,
}

impl StreamWriter {
    pub fn begin(count: u64) -> Self {
        Self { count, left: count, groups: None, per_run: None, gathered: Vec::new(), first: None }
    }

    pub fn piece<W: Write>(&mut self, output: &mut Output<W>, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Entry { id, fields } if self.left > 0 && self.groups.is_none() => {
                self.first = self.first.or(Some(*id));
                self.left -= 1;
                self.gathered.push((*id, fields.clone()));
                self.write_runs(output)
            }
            Piece::State(state) if self.left == 0 && self.groups.is_none() => self.state(output, state),
            Piece::Group(group) if self.groups.is_some_and(|left| left > 0) => {
                self.groups = self.groups.map(|left| left - 1);
                write_group(output, group)
            }
            _ => Err(output.misfit()),
        }
    }

    /// Whether all that was announced was written.
    pub fn is_complete(&self) -> bool {
        self.groups == Some(0)
    }

    fn write_runs<W: Write>(&mut self, output: &mut Output<W>) -> Result<()> {
        let full = self.per_run.unwrap_or(RUN_ENTRIES);
        if (self.gathered.len() as u64) < full && self.left > 0 {
            return Ok(());
        }
        if self.per_run.is_none() {
            let per_run = self.choose_run();
            self.per_run = Some(per_run);
            output.length(self.count.div_ceil(per_run))?;
        }
        let per_run = self.per_run.unwrap_or(1) as usize;
        while self.gathered.len() >= per_run || (self.left == 0 && !self.gathered.is_empty()) {
            let run: Vec<(StreamId, Pairs)> = self.gathered.drain(..per_run.min(self.gathered.len())).collect();
            write_run(output, &run)?;
        }
        Ok(())
    }

    /// Runs of large entries are short, judged by the first of them.
    fn choose_run(&self) -> u64 {
        let bytes: usize = self.gathered.iter().flat_map(|(_, pairs)| pairs).map(|(a, b)| a.len() + b.len()).sum();
        let each = (bytes as u64 / (self.gathered.len() as u64).max(1)).max(1);
        (RUN_BYTES / each).clamp(1, RUN_ENTRIES)
    }

    fn state<W: Write>(&mut self, output: &mut Output<W>, state: &StreamState) -> Result<()> {
        if self.per_run.is_none() {
            output.length(0)?;
        }
        output.length(self.count)?;
        for id in [state.last_id, self.first.unwrap_or_default(), state.max_deleted_id] {
            output.length(id.ms)?;
            output.length(id.seq)?;
        }
        output.length(state.entries_added)?;
        output.length(state.groups)?;
        self.groups = Some(state.groups);
        Ok(())
    }
}

fn write_run<W: Write>(output: &mut Output<W>, run: &[(StreamId, Pairs)]) -> Result<()> {
    let Some((above, first)) = run.first() else { return Ok(()) };
    let mut id = [0; 16];
    let (ms, seq) = id.split_at_mut(8);
    ms.copy_from_slice(&above.ms.to_be_bytes());
    seq.copy_from_slice(&above.seq.to_be_bytes());
    output.raw_string(&id)?;
    let mut list = ListpackWriter::new();
    list.push_integer(run.len() as i64);
    list.push_integer(0);
    list.push_integer(first.len() as i64);
    first.iter().for_each(|(name, _)| list.push(name));
    list.push_integer(0);
    for (id, pairs) in run {
        let same = pairs.len() == first.len() && pairs.iter().zip(first).all(|(one, other)| one.0 == other.0);
        list.push_integer(if same { SAME_FIELDS } else { 0 });
        list.push_integer(id.ms.wrapping_sub(above.ms).cast_signed());
        list.push_integer(id.seq.wrapping_sub(above.seq).cast_signed());
        if !same {
            list.push_integer(pairs.len() as i64);
        }
        for (name, value) in pairs {
            if !same {
                list.push(name);
            }
            list.push(value);
        }
        // Redis walks backwards by this: all elements of the entry but this one.
        let names = if same { pairs.len() } else { 2 * pairs.len() + 1 };
        list.push_integer(names as i64 + 3);
    }
    if list.len() > u32::MAX as usize - 1 {
        return Err(RdbError::Damaged { at: 0, what: "entries of a stream are too large for RDB" });
    }
    output.raw_string(&list.finish())
}

fn write_group<W: Write>(output: &mut Output<W>, group: &Group) -> Result<()> {
    output.string(&group.name)?;
    output.length(group.last_id.ms)?;
    output.length(group.last_id.seq)?;
    output.length(group.entries_read.unwrap_or(UNKNOWN))?;
    output.length(group.pending.len() as u64)?;
    for entry in &group.pending {
        write_raw_id(output, entry.id)?;
        output.bytes(&entry.delivered_ms.to_le_bytes())?;
        output.length(entry.deliveries)?;
    }
    let mut owned: Vec<Vec<StreamId>> = vec![Vec::new(); group.consumers.len()];
    for entry in &group.pending {
        let own = owned.get_mut(entry.consumer as usize).ok_or_else(|| output.misfit())?;
        own.push(entry.id);
    }
    output.length(group.consumers.len() as u64)?;
    for (consumer, own) in group.consumers.iter().zip(owned) {
        output.string(&consumer.name)?;
        output.bytes(&consumer.seen_ms.to_le_bytes())?;
        output.length(own.len() as u64)?;
        for id in own {
            write_raw_id(output, id)?;
        }
    }
    Ok(())
}

fn write_raw_id<W: Write>(output: &mut Output<W>, id: StreamId) -> Result<()> {
    output.bytes(&id.ms.to_be_bytes())?;
    output.bytes(&id.seq.to_be_bytes())
}
