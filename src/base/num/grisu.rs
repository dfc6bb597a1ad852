//! Shortest digits of a double by Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and
//! Accurately with Integers", 2010).
//!
//! Redis prints with it, and in a few of a thousand cases it finds other digits than an exact algorithm:
//! one more than needed, or the other of two neighbours. They read back as the same double, but the
//! text of a reply is compared with, hashed and stored, so we take the same ones.

/// The significands of 10^-348, 10^-340, ... 10^340, rounded to 64 bits.
const POWERS: [u64; 87] = [
    0xFA8F_D5A0_081C_0288,
    0xBAAE_E17F_A23E_BF76,
    0x8B16_FB20_3055_AC76,
    0xCF42_894A_5DCE_35EA,
    0x9A6B_B0AA_5565_3B2D,
    0xE61A_CF03_3D1A_45DF,
    0xAB70_FE17_C79A_C6CA,
    0xFF77_B1FC_BEBC_DC4F,
    0xBE56_91EF_416B_D60C,
    0x8DD0_1FAD_907F_FC3C,
    0xD351_5C28_3155_9A83,
    0x9D71_AC8F_ADA6_C9B5,
    0xEA9C_2277_23EE_8BCB,
    0xAECC_4991_4078_536D,
    0x823C_1279_5DB6_CE57,
    0xC210_9436_4DFB_5637,
    0x9096_EA6F_3848_984F,
    0xD774_85CB_2582_3AC7,
    0xA086_CFCD_97BF_97F4,
    0xEF34_0A98_172A_ACE5,
    0xB238_67FB_2A35_B28E,
    0x84C8_D4DF_D2C6_3F3B,
    0xC5DD_4427_1AD3_CDBA,
    0x936B_9FCE_BB25_C996,
    0xDBAC_6C24_7D62_A584,
    0xA3AB_6658_0D5F_DAF6,
    0xF3E2_F893_DEC3_F126,
    0xB5B5_ADA8_AAFF_80B8,
    0x8762_5F05_6C7C_4A8B,
    0xC9BC_FF60_34C1_3053,
    0x964E_858C_91BA_2655,
    0xDFF9_7724_7029_7EBD,
    0xA6DF_BD9F_B8E5_B88F,
    0xF8A9_5FCF_8874_7D94,
    0xB944_7093_8FA8_9BCF,
    0x8A08_F0F8_BF0F_156B,
    0xCDB0_2555_6531_31B6,
    0x993F_E2C6_D07B_7FAC,
    0xE45C_10C4_2A2B_3B06,
    0xAA24_2499_6973_92D3,
    0xFD87_B5F2_8300_CA0E,
    0xBCE5_0864_9211_1AEB,
    0x8CBC_CC09_6F50_88CC,
    0xD1B7_1758_E219_652C,
    0x9C40_0000_0000_0000,
    0xE8D4_A510_0000_0000,
    0xAD78_EBC5_AC62_0000,
    0x813F_3978_F894_0984,
    0xC097_CE7B_C907_15B3,
    0x8F7E_32CE_7BEA_5C70,
    0xD5D2_38A4_ABE9_8068,
    0x9F4F_2726_179A_2245,
    0xED63_A231_D4C4_FB27,
    0xB0DE_6538_8CC8_ADA8,
    0x83C7_088E_1AAB_65DB,
    0xC45D_1DF9_4271_1D9A,
    0x924D_692C_A61B_E758,
    0xDA01_EE64_1A70_8DEA,
    0xA26D_A399_9AEF_774A,
    0xF209_787B_B47D_6B85,
    0xB454_E4A1_79DD_1877,
    0x865B_8692_5B9B_C5C2,
    0xC835_53C5_C896_5D3D,
    0x952A_B45C_FA97_A0B3,
    0xDE46_9FBD_99A0_5FE3,
    0xA59B_C234_DB39_8C25,
    0xF6C6_9A72_A398_9F5C,
    0xB7DC_BF53_54E9_BECE,
    0x88FC_F317_F222_41E2,
    0xCC20_CE9B_D35C_78A5,
    0x9816_5AF3_7B21_53DF,
    0xE2A0_B5DC_971F_303A,
    0xA8D9_D153_5CE3_B396,
    0xFB9B_7CD9_A4A7_443C,
    0xBB76_4C4C_A7A4_4410,
    0x8BAB_8EEF_B640_9C1A,
    0xD01F_EF10_A657_842C,
    0x9B10_A4E5_E991_3129,
    0xE710_9BFB_A19C_0C9D,
    0xAC28_20D9_623B_F429,
    0x8044_4B5E_7AA7_CF85,
    0xBF21_E440_03AC_DD2D,
    0x8E67_9C2F_5E44_FF8F,
    0xD433_179D_9C8C_B841,
    0x9E19_DB92_B4E3_1BA9,
    0xEB96_BF6E_BADF_77D9,
    0xAF87_023B_9BF0_EE6B,
];
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;

/// `significand * 2^exponent`.
#[derive(Clone, Copy)]
struct Float {
    significand: u64,
    exponent: i32,
}

impl Float {
    fn normalized(self) -> Self {
        let shift = self.significand.leading_zeros();
        Self {
            significand: self.significand << shift,
            exponent: self.exponent - shift as i32,
        }
    }

    /// The upper half of the product, rounded.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.significand) * u128::from(other.significand) + (1 << 63);
        Self {
            significand: (product >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }
}

/// The digits found so far.
pub struct Digits {
    pub text: [u8; 20],
    pub len: usize,
    /// The power of ten of the last digit.
    pub exponent: i32,
}

/// Digits of a positive finite double that read back as it.
pub fn digits(value: f64) -> Digits {
    const HIDDEN: u64 = 1 << 52;
    let bits = value.to_bits();
    let (fraction, biased) = (bits & (HIDDEN - 1), (bits >> 52) as i32 & 0x7FF);
    let exact = match biased {
        0 => Float {
            significand: fraction,
            exponent: -1074,
        },
        _ => Float {
            significand: fraction | HIDDEN,
            exponent: biased - 1075,
        },
    };
    // Half way to the neighbours; the lower one is nearer below a power of two.
    let upper = Float {
        significand: exact.significand * 2 + 1,
        exponent: exact.exponent - 1,
    }
    .normalized();
    let near = i32::from(exact.significand == HIDDEN);
    let lower =
        ((exact.significand << (1 + near)) - 1) << (exact.exponent - 1 - near - upper.exponent);
    let lower = Float {
        significand: lower,
        exponent: upper.exponent,
    };

    let (power, ten) = cached_power(upper.exponent);
    let exact = exact.normalized().times(power);
    // The products are off by at most one unit: stay safely inside.
    let high = upper.times(power).significand - 1;
    let low = lower.times(power).significand + 1;
    generate(exact, high, high - low, -ten)
}

/// A power of ten that brings a number of this exponent to one between -60 and -32.
fn cached_power(exponent: i32) -> (Float, i32) {
    // 1292913986 / 2^32 is log10(2); shifting the negation rounds up.
    let negated = (exponent + 61) as i64 * 1_292_913_986;
    let wanted = -(negated >> 32) as i32;
    let index = (wanted - FIRST_POWER + POWER_STEP - 1).div_euclid(POWER_STEP);
    let ten = FIRST_POWER + POWER_STEP * index;
    // 217706 / 2^16 is log2(10) closely enough for all powers of the table.
    let float = Float {
        significand: POWERS[index as usize],
        exponent: ((ten * 217_706) >> 16) - 63,
    };
    (float, ten)
}

/// Writes digits of `high` until what is left is within `delta`.
fn generate(exact: Float, high: u64, mut delta: u64, ten: i32) -> Digits {
    let mut out = Digits {
        text: [0; 20],
        len: 0,
        exponent: ten,
    };
    let shift = exact.exponent.unsigned_abs();
    let one = 1u64 << shift;
    let mut distance = high - exact.significand;
    let (mut whole, mut fraction) = (high >> shift, high & (one - 1));
    let mut kappa = whole.checked_ilog10().map_or(0, |log| log + 1);
    while kappa > 0 {
        kappa -= 1;
        let unit = 10u64.pow(kappa);
        out.push((whole / unit) as u8);
        whole %= unit;
        let rest = (whole << shift) + fraction;
        if rest <= delta {
            out.exponent += kappa as i32;
            out.approach(delta, rest, unit << shift, distance);
            return out;
        }
    }
    loop {
        fraction *= 10;
        delta *= 10;
        distance *= 10;
        out.push((fraction >> shift) as u8);
        fraction &= one - 1;
        out.exponent -= 1;
        if fraction < delta {
            out.approach(delta, fraction, one, distance);
            return out;
        }
    }
}

impl Digits {
    fn push(&mut self, digit: u8) {
        // A zero in front of the others carries nothing.
        if digit != 0 || self.len > 0 {
            self.text[self.len] = b'0' + digit;
            self.len += 1;
        }
    }

    /// Lowers the last digit while that brings the digits nearer to the exact value.
    fn approach(&mut self, delta: u64, mut rest: u64, unit: u64, distance: u64) {
        while rest < distance
            && delta - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            self.text[self.len - 1] -= 1;
            rest += unit;
        }
    }
}
