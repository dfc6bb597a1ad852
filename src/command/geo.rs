//! Points of the earth in sorted sets: the table, GEOADD, GEOPOS, GEODIST, GEOHASH. Searching
//! stands in [`search`].

mod search;
#[cfg(test)]
mod tests;

use super::args::{Args, Cursor};
use super::ctx::{Ctx, Outcome};
use super::error::Error;
use super::zset::add_all;
use crate::base::num;
use crate::command::keys;
use crate::command::spec::{Begin, DocFlags, Find, Group, KeySpec, Spec, cats, flags, key};
use crate::keyspace::effect::Class;
use crate::resp::reply::Reply;
use crate::value::geohash::Point;
use crate::value::zset::{AddFlags, Zset, ZsetRef};
use search::{
    georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore,
};

const ROW: Spec = Spec {
    group: Group::Geo,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[
    Spec {
        name: "geoadd",
        since: "3.2.0",
        arity: -5,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RW | UPDATE), 1)],
        history: &[("6.2.0", "Added `NX`, `XX` and `CH`.")],
        summary: "Adds members with their positions to a geo index.",
        complexity: "O(log(N))",
        syntax: "key/k0 [condition<NX|XX>@6.2.0] [CH:change/!@6.2.0] data{longitude/d latitude/d member}...",
        run: geoadd,
        ..ROW
    },
    Spec {
        name: "geodist",
        since: "3.2.0",
        arity: -4,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the distance between two members.",
        complexity: "O(1)",
        syntax: "key/k0 member1 member2 [unit<M|KM|FT|MI>]",
        run: geodist,
        ..ROW
    },
    Spec {
        name: "geohash",
        since: "3.2.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns the positions of members as Geohash texts.",
        complexity: "O(1)",
        syntax: "key/k0 [member...]",
        run: geohash,
        ..ROW
    },
    Spec {
        name: "geopos",
        since: "3.2.0",
        arity: -2,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        summary: "Returns longitude and latitude of members.",
        complexity: "O(1)",
        syntax: "key/k0 [member...]",
        run: geopos,
        ..ROW
    },
    Spec {
        name: "georadius",
        since: "3.2.0",
        arity: -6,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(GEO),
        keys: &[
            KeySpec::one(key!(RO | ACCESS), 1),
            KeySpec {
                flags: key!(OW | UPDATE),
                begin: Begin::Keyword {
                    word: "STORE",
                    from: 6,
                },
                find: Find::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
            },
            KeySpec {
                flags: key!(OW | UPDATE),
                begin: Begin::Keyword {
                    word: "STOREDIST",
                    from: 6,
                },
                find: Find::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
            },
        ],
        special_keys: Some(keys::georadius),
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument",
        history: &[
            ("6.2.0", "Added `ANY`."),
            ("7.0.0", "Allowed units in upper case."),
        ],
        summary: "Finds the members within a distance from a position and can store them.",
        complexity: "O(N+log(M))",
        syntax: "key/k0 longitude/d latitude/d radius/d unit<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT:count/i [ANY@6.2.0]}] [order<ASC|DESC>] [store<STORE:storekey(key)/k1|STOREDIST:storedistkey(key)/k2>]",
        run: georadius,
        ..ROW
    },
    Spec {
        name: "georadius_ro",
        since: "3.2.10",
        arity: -6,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`GEOSEARCH` with the `BYRADIUS` argument",
        history: &[
            ("6.2.0", "Added `ANY`."),
            ("7.0.0", "Allowed units in upper case."),
        ],
        summary: "Finds the members within a distance from a position.",
        complexity: "O(N+log(M))",
        syntax: "key/k0 longitude/d latitude/d radius/d unit<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT:count/i [ANY@6.2.0]}] [order<ASC|DESC>]",
        run: georadius_ro,
        ..ROW
    },
    Spec {
        name: "georadiusbymember",
        since: "3.2.0",
        arity: -5,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(GEO),
        keys: &[
            KeySpec::one(key!(RO | ACCESS), 1),
            KeySpec {
                flags: key!(OW | UPDATE),
                begin: Begin::Keyword {
                    word: "STORE",
                    from: 5,
                },
                find: Find::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
            },
            KeySpec {
                flags: key!(OW | UPDATE),
                begin: Begin::Keyword {
                    word: "STOREDIST",
                    from: 5,
                },
                find: Find::Range {
                    last: 0,
                    step: 1,
                    limit: 0,
                },
            },
        ],
        special_keys: Some(keys::georadiusbymember),
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
        history: &[
            ("6.2.0", "Added `ANY` behind `COUNT`."),
            ("7.0.0", "Allowed units in upper case."),
        ],
        summary: "Finds the members within a distance from another member and can store them.",
        complexity: "O(N+log(M))",
        syntax: "key/k0 member radius/d unit<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT:count/i [ANY]}] [order<ASC|DESC>] [store<STORE:storekey(key)/k1|STOREDIST:storedistkey(key)/k2>]",
        run: georadiusbymember,
        ..ROW
    },
    Spec {
        name: "georadiusbymember_ro",
        since: "3.2.10",
        arity: -5,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        doc_flags: DocFlags::DEPRECATED,
        deprecated_since: "6.2.0",
        replaced_by: "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments",
        history: &[
            ("6.2.0", "Added `ANY` behind `COUNT`."),
            ("7.0.0", "Allowed units in upper case."),
        ],
        summary: "Finds the members within a distance from another member.",
        complexity: "O(N+log(M))",
        syntax: "key/k0 member radius/d unit<M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] [count-block{COUNT:count/i [ANY]}] [order<ASC|DESC>]",
        run: georadiusbymember_ro,
        ..ROW
    },
    Spec {
        name: "geosearch",
        since: "6.2.0",
        arity: -7,
        flags: flags!(READONLY),
        categories: cats!(GEO),
        keys: &[KeySpec::one(key!(RO | ACCESS), 1)],
        history: &[("7.0.0", "Allowed units in upper case.")],
        summary: "Finds the members within a circle or a box.",
        complexity: "O(N+log(M))",
        syntax: "key/k0 from<FROMMEMBER:member|FROMLONLAT:fromlonlat{longitude/d latitude/d}> by<circle{BYRADIUS:radius/d unit<M|KM|FT|MI>}|box{BYBOX:width/d height/d unit<M|KM|FT|MI>}> [order<ASC|DESC>] [count-block{COUNT:count/i [ANY]}] [WITHCOORD] [WITHDIST] [WITHHASH]",
        run: geosearch,
        ..ROW
    },
    Spec {
        name: "geosearchstore",
        since: "6.2.0",
        arity: -8,
        flags: flags!(WRITE | DENYOOM),
        categories: cats!(GEO),
        keys: &[
            KeySpec::one(key!(OW | UPDATE), 1),
            KeySpec::one(key!(RO | ACCESS), 2),
        ],
        history: &[("7.0.0", "Allowed units in upper case.")],
        summary: "Stores the members within a circle or a box.",
        complexity: "O(N+log(M))",
        syntax: "destination/k0 source/k1 from<FROMMEMBER:member|FROMLONLAT:fromlonlat{longitude/d latitude/d}> by<circle{BYRADIUS:radius/d unit<M|KM|FT|MI>}|box{BYBOX:width/d height/d unit<M|KM|FT|MI>}> [order<ASC|DESC>] [count-block{COUNT:count/i [ANY]}] [STOREDIST]",
        run: geosearchstore,
        ..ROW
    },
];

/// A unit of length in metres.
fn unit(name: &[u8]) -> Result<f64, Error> {
    const METRES: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = METRES
        .iter()
        .find(|(unit, _)| name.eq_ignore_ascii_case(unit.as_bytes()));
    let unknown = Error::new("ERR unsupported unit provided. please use M, KM, FT, MI");
    found.map(|(_, metres)| *metres).ok_or(unknown)
}

/// Reads a longitude and a latitude.
fn point(rest: &mut Cursor<'_>) -> Result<Point, Error> {
    let (longitude, latitude) = (rest.float()?, rest.float()?);
    let point = Point {
        longitude,
        latitude,
    };
    if !point.is_valid() {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(Error::text(text));
    }
    Ok(point)
}

fn find(set: ZsetRef<'_>, member: &[u8]) -> Option<Point> {
    set.score(member).map(Point::of_score)
}

/// A distance with four digits after the point.
fn write_distance(out: &mut Reply, distance: f64) {
    out.bulk(format!("{distance:.4}").as_bytes());
}

/// The options of GEOADD, and where the points begin.
fn add_options(args: Args<'_>) -> Result<(AddFlags, bool, usize), Error> {
    let mut rest = args.cursor(2);
    let mut flags = AddFlags::default();
    let mut ch = false;
    loop {
        if rest.word("NX") {
            flags.nx = true;
        } else if rest.word("XX") {
            flags.xx = true;
        } else if rest.word("CH") {
            ch = true;
        } else {
            break;
        }
    }
    if !rest.left().is_multiple_of(3) || (flags.nx && flags.xx) {
        return Err(Error::SYNTAX);
    }
    Ok((flags, ch, rest.at()))
}

fn geoadd(ctx: &mut Ctx<'_>) -> Outcome {
    let (args, limits) = (ctx.args, ctx.db.limits());
    let key = args.get(1);
    let (flags, ch, from) = add_options(args)?;
    let mut rest = args.cursor(from);
    let mut points = Vec::with_capacity(rest.left() / 3);
    while !rest.done() {
        let score = point(&mut rest)?.bits() as f64;
        points.push((score, rest.next()?));
    }
    if points.is_empty() {
        return Err(Error::SYNTAX);
    }
    let counts = ctx.db.update::<Zset, _>(key, |set| {
        add_all(set, points.iter().copied(), flags, &limits)
    })?;
    // Only increments fail.
    let counts = counts.unwrap_or_default();
    if counts.changes() > 0 {
        ctx.db.effect(Class::ZSET, "zadd", key, counts.changes());
        log_points(ctx, from, &points);
    }
    ctx.out
        .count(if ch { counts.changes() } else { counts.added });
    Ok(())
}

/// The log has the scores: a ZADD with the same options.
fn log_points(ctx: &mut Ctx<'_>, from: usize, points: &[(f64, &[u8])]) {
    let scores: Vec<Vec<u8>> = points
        .iter()
        .map(|(score, _)| {
            let mut text = Vec::new();
            num::write_f64(&mut text, *score);
            text
        })
        .collect();
    let mut effect: Vec<&[u8]> = vec![b"ZADD"];
    effect.extend(ctx.args.slice(1..from).iter());
    for ((_, member), score) in points.iter().zip(&scores) {
        effect.extend([score.as_slice(), *member]);
    }
    ctx.db.log(&effect);
}

fn geopos(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Zset>(&ctx.args[1])?;
    let members = ctx.args.from(2);
    ctx.out.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| find(set, member)) {
            Some(point) => {
                ctx.out.array(2);
                ctx.out.double(point.longitude);
                ctx.out.double(point.latitude);
            }
            None => ctx.out.null_array(),
        }
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>) -> Outcome {
    let set = ctx.db.read_as::<Zset>(&ctx.args[1])?;
    let members = ctx.args.from(2);
    ctx.out.array(members.len());
    for member in members.iter() {
        match set.and_then(|set| find(set, member)) {
            Some(point) => ctx.out.bulk(&point.text()),
            None => ctx.out.null(),
        }
    }
    Ok(())
}

fn geodist(ctx: &mut Ctx<'_>) -> Outcome {
    let args = ctx.args;
    let metres = match args.len() {
        4 => 1.0,
        5 => unit(&args[4])?,
        _ => return Err(Error::SYNTAX),
    };
    let set = ctx.db.read_as::<Zset>(&args[1])?;
    let points = set.and_then(|set| Some((find(set, &args[2])?, find(set, &args[3])?)));
    match points {
        Some((from, to)) => write_distance(ctx.out, from.distance_m(&to) / metres),
        None => ctx.out.null(),
    }
    Ok(())
}
