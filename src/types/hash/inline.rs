//! A hash inside its record: fields and values packed one behind the other, and where a
//! field had a deadline once, a third string for it.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Deadline, NEVER, deadline_bytes, deadline_of};
use crate::base::random;
use crate::encoding::order::take_u64;
use crate::types::packed::{INLINE_BYTES, Items, Packed, Spot};
use crate::types::spread::Element;

/// Strings of an item.
const PLAIN: usize = 2;
const TIMED: usize = 3;
/// Where in an item they stand.
const VALUE: usize = 1;
const DEADLINE: usize = 2;

/// The fields of an inline hash.
#[derive(Debug)]
pub(super) struct Inline {
    pub packed: Packed,
    /// Whether fields may have deadlines.
    pub is_timed: bool,
}

impl Inline {
    pub fn empty() -> Self {
        Self { packed: Packed::empty(PLAIN), is_timed: false }
    }

    pub fn load(body: Bytes, is_timed: bool) -> Result<Self, &'static str> {
        if !is_timed {
            return Ok(Self { packed: Packed::open(body, PLAIN)?, is_timed });
        }
        let mut rest = &body[..];
        take_u64(&mut rest).ok_or("a hash ends in its earliest deadline")?;
        Ok(Self { packed: Packed::open(body.slice_ref(rest), TIMED)?, is_timed })
    }

    pub fn into_body(self) -> Bytes {
        if !self.is_timed {
            return self.packed.into_bytes();
        }
        let mut body = BytesMut::with_capacity(8 + self.packed.size_bytes());
        body.put_u64(self.earliest());
        body.put_slice(self.packed.as_slice());
        body.freeze()
    }

    /// The earliest deadline of any field, or [`NEVER`].
    pub fn earliest(&self) -> u64 {
        let deadlines = self.packed.items().filter_map(|spot| self.deadline(&spot));
        deadlines.min().unwrap_or(NEVER)
    }

    pub fn deadline(&self, spot: &Spot) -> Option<u64> {
        if self.is_timed { deadline_of(self.packed.string(spot, DEADLINE)) } else { None }
    }

    /// Puts a deadline on a field, or takes it off.
    pub fn set_deadline(&mut self, spot: &Spot, deadline_ms: Option<u64>) {
        let bytes = deadline_ms.map(deadline_bytes).unwrap_or_default();
        if self.is_timed {
            self.packed.replace(spot, DEADLINE, &bytes);
        }
    }

    /// From now on fields may have deadlines.
    pub fn make_timed(&mut self) {
        if self.is_timed {
            return;
        }
        let mut timed = Packed::empty(TIMED);
        for spot in self.packed.items() {
            timed.push(&[self.packed.string(&spot, 0), self.packed.string(&spot, VALUE), b""]);
        }
        *self = Self { packed: timed, is_timed: true };
    }

    pub fn get(&self, field: &[u8]) -> Option<Bytes> {
        let spot = self.packed.find(field)?;
        Some(self.packed.bytes(&spot, VALUE))
    }

    /// Whether the field can be stored without the body outgrowing its limit.
    pub fn has_room(&self, field: &[u8], value: &[u8]) -> bool {
        let spare = INLINE_BYTES.saturating_sub(self.packed.size_bytes());
        if Packed::item_bytes(&[field, value, b""]) <= spare {
            return true;
        }
        let old = self.packed.find(field).map_or(0, |spot| spot.range.len());
        let deadline = if self.is_timed { 9 } else { 0 };
        Packed::item_bytes(&[field, value]) + deadline <= spare + old
    }

    pub fn set(&mut self, field: &[u8], value: &[u8], deadline: Deadline) -> bool {
        match self.packed.find(field) {
            Some(spot) => {
                if deadline == Deadline::Drop {
                    self.set_deadline(&spot, None);
                }
                self.packed.replace(&spot, VALUE, value);
                false
            }
            None if self.is_timed => {
                self.packed.push(&[field, value, b""]);
                true
            }
            None => {
                self.packed.push(&[field, value]);
                true
            }
        }
    }

    pub fn remove(&mut self, field: &[u8]) -> bool {
        let spot = self.packed.find(field);
        if let Some(spot) = &spot {
            self.packed.remove(spot);
        }
        spot.is_some()
    }

    /// Removes the fields whose deadline has come at `now_ms`; says how many.
    pub fn remove_lapsed(&mut self, now_ms: u64) -> Vec<Bytes> {
        if !self.is_timed || self.earliest() > now_ms {
            return Vec::new();
        }
        let is_lapsed = |spot: &Spot| self.deadline(spot).is_some_and(|deadline| deadline <= now_ms);
        // From the back, so that the places of those before stay as they are.
        let mut lapsed: Vec<Spot> = self.packed.items().filter(is_lapsed).collect();
        lapsed.reverse();
        let names = lapsed.iter().map(|spot| self.packed.bytes(spot, 0)).collect();
        lapsed.iter().for_each(|spot| self.packed.remove(spot));
        names
    }

    pub fn elements(&self) -> Elements<'_> {
        Elements { packed: &self.packed, items: self.packed.items() }
    }

    pub fn random(&self) -> Option<Element> {
        let nth = random::below(self.packed.len() as u64) as usize;
        self.elements().nth(nth)
    }
}

/// Walks over fields and values.
pub struct Elements<'a> {
    packed: &'a Packed,
    items: Items<'a>,
}

impl Iterator for Elements<'_> {
    type Item = Element;

    fn next(&mut self) -> Option<Element> {
        let spot = self.items.next()?;
        Some((self.packed.bytes(&spot, 0), self.packed.bytes(&spot, VALUE)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.packed.len()))
    }
}
