//! Reading and writing numbers: a cursor over outside bytes that refuses instead of panicking, and varints.

/// Bytes that are not what an encoder writes; says what does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// A cursor over outside bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: bytes }
    }

    /// The next `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed("ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// All bytes that are left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("take gives the length asked for"))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("number has more than 64 bits"))
    }

    pub(crate) fn zigzag(&mut self) -> Result<i64, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A varint that counts or measures something of which there are at most `max`.
    pub(crate) fn varint_max(&mut self, max: usize) -> Result<usize, Malformed> {
        usize::try_from(self.varint()?).ok().filter(|&v| v <= max).ok_or(Malformed("number is too large"))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Refuses bytes that nothing asked for.
    pub(crate) fn finish(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("has bytes left over")) }
    }
}

pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_zigzag(value: i64, out: &mut Vec<u8>) {
    put_varint((value << 1 ^ value >> 63) as u64, out);
}

/// Bytes that [`put_varint`] writes.
pub(crate) fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Bytes that [`put_zigzag`] writes.
pub(crate) fn zigzag_size(value: i64) -> usize {
    varint_size((value << 1 ^ value >> 63) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in any::<i64>(), shift in 0..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            put_zigzag(value, &mut bytes);
            prop_assert_eq!(bytes.len(), zigzag_size(value));
            put_varint(value as u64, &mut bytes);
            prop_assert_eq!(bytes.len(), zigzag_size(value) + varint_size(value as u64));
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(cursor.zigzag(), Ok(value));
            prop_assert_eq!(cursor.varint(), Ok(value as u64));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }
    }

    #[test]
    fn endless_numbers_are_refused() {
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor::new(&longest).varint(), Ok(u64::MAX));
        assert!(Cursor::new(&[0xff; 9]).varint().is_err());
        assert!(Cursor::new(&[0xff; 20]).varint().is_err());
    }
}
