//! Fields that count: HINCRBY and HINCRBYFLOAT. A field keeps its deadline when it is
//! counted up.

use super::{Deadline, Hash, Limits};
use crate::base::number::{LongDouble, format_i64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::keyspace::Tx;

impl Hash {
    /// Adds to the integer in a field, 0 if there is none, and returns the sum.
    ///
    /// # Errors
    /// When the field is no integer or the sum does not fit.
    pub fn increment(&mut self, tx: &mut Tx, field: &[u8], by: i64, limits: Limits) -> Result<i64> {
        let old = match self.get(tx, field)? {
            None => 0,
            Some(value) => parse_i64(&value).ok_or_else(|| Error::client("ERR hash value is not an integer"))?,
        };
        let sum = old.checked_add(by).ok_or(ClientError::Overflow)?;
        self.store(tx, field, &format_i64(sum), Deadline::Keep, limits)?;
        Ok(sum)
    }

    /// Adds to the number in a field, 0 if there is none, and returns the sum as it is stored.
    ///
    /// # Errors
    /// When the field is no number or the sum is none.
    pub fn increment_float(&mut self, tx: &mut Tx, field: &[u8], by: LongDouble, limits: Limits) -> Result<Vec<u8>> {
        let sum = match self.get(tx, field)? {
            None => by,
            Some(value) => {
                let old = LongDouble::parse(&value).ok_or_else(|| Error::client("ERR hash value is not a float"))?;
                old.checked_add(by).ok_or(ClientError::NanOrInfinity)?
            }
        };
        let text = sum.to_text();
        self.store(tx, field, &text, Deadline::Keep, limits)?;
        Ok(text)
    }
}
