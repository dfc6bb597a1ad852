//! Just enough of unsigned big integers to convert between decimal text and long doubles.
//! Sizes are bounded by the exponent range: at most a few hundred limbs.

use std::cmp::Ordering;

/// Little-endian limbs without leading zeros.
#[derive(Clone, Debug)]
pub struct Big(Vec<u64>);

impl Big {
    pub fn from_u64(value: u64) -> Self {
        let mut big = Self(vec![value]);
        big.trim();
        big
    }

    /// From decimal digits (0 to 9), most significant first.
    pub fn from_digits(digits: &[u8]) -> Self {
        let mut big = Self(Vec::new());
        for chunk in digits.chunks(19) {
            let value = chunk
                .iter()
                .fold(0u64, |value, &digit| value * 10 + u64::from(digit));
            big.mul_add(10u64.pow(chunk.len() as u32), value);
        }
        big
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// `self * factor + addend`.
    fn mul_add(&mut self, factor: u64, addend: u64) {
        let mut carry = u128::from(addend);
        for limb in &mut self.0 {
            carry += u128::from(*limb) * u128::from(factor);
            *limb = carry as u64;
            carry >>= 64;
        }
        if carry != 0 {
            self.0.push(carry as u64);
        }
    }

    pub fn mul_power_of_five(&mut self, mut power: u64) {
        while power > 0 {
            let step = power.min(27);
            self.mul_add(5u64.pow(step as u32), 0);
            power -= step;
        }
    }

    pub fn bits(&self) -> usize {
        self.0
            .last()
            .map_or(0, |top| self.0.len() * 64 - top.leading_zeros() as usize)
    }

    pub fn shift_left(&mut self, shift: usize) {
        let bits = shift % 64;
        if bits != 0 {
            let mut carry = 0;
            for limb in &mut self.0 {
                let next = *limb >> (64 - bits);
                *limb = *limb << bits | carry;
                carry = next;
            }
            if carry != 0 {
                self.0.push(carry);
            }
        }
        if !self.0.is_empty() {
            self.0.splice(0..0, std::iter::repeat_n(0, shift / 64));
        }
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let next = *limb << 63;
            *limb = *limb >> 1 | carry;
            carry = next;
        }
        self.trim();
    }

    fn compare(&self, other: &Self) -> Ordering {
        let by_len = self.0.len().cmp(&other.0.len());
        by_len.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Subtracts a number that is not greater.
    fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        for (i, limb) in self.0.iter_mut().enumerate() {
            let (value, first) = limb.overflowing_sub(other.0.get(i).copied().unwrap_or(0));
            let (value, second) = value.overflowing_sub(u64::from(borrow));
            *limb = value;
            borrow = first || second;
        }
        self.trim();
    }

    /// Quotient of at most `bits` bits, and whether there is a remainder: plain long division, which is
    /// quick enough for so few quotient bits.
    pub fn divide_small_quotient(mut self, mut divisor: Self, bits: usize) -> (u128, bool) {
        divisor.shift_left(bits - 1);
        let mut quotient = 0u128;
        for _ in 0..bits {
            quotient <<= 1;
            if self.compare(&divisor) != Ordering::Less {
                self.subtract(&divisor);
                quotient |= 1;
            }
            divisor.halve();
        }
        (quotient, !self.0.is_empty())
    }

    /// The top bits (up to 128), whether any lower bit is set, and how many lower bits there are.
    pub fn top_bits(&self) -> (u128, bool, usize) {
        let low = self.0.len().saturating_sub(2);
        let top = self.0[low..]
            .iter()
            .rev()
            .fold(0u128, |top, &limb| top << 64 | u128::from(limb));
        let mut sticky = self.0[..low].iter().any(|&limb| limb != 0);
        // The top limb may have few bits: bring more of the third one in.
        let spare = if low > 0 {
            top.leading_zeros() as usize
        } else {
            0
        };
        if spare == 0 {
            return (top, sticky, low * 64);
        }
        let third = self.0[low - 1];
        sticky = third << spare != 0 || self.0[..low - 1].iter().any(|&limb| limb != 0);
        (
            top << spare | u128::from(third >> (64 - spare)),
            sticky,
            low * 64 - spare,
        )
    }

    /// Appends the number in decimal.
    pub fn write_decimal(mut self, out: &mut Vec<u8>) {
        const CHUNK: u128 = 10u128.pow(19);
        let mut chunks = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0u128;
            for limb in self.0.iter_mut().rev() {
                let value = rest << 64 | u128::from(*limb);
                *limb = (value / CHUNK) as u64;
                rest = value % CHUNK;
            }
            chunks.push(rest as u64);
            self.trim();
        }
        let mut chunks = chunks.into_iter().rev();
        out.extend_from_slice(chunks.next().unwrap_or(0).to_string().as_bytes());
        for chunk in chunks {
            out.extend_from_slice(format!("{chunk:019}").as_bytes());
        }
    }
}
