//! Points near a point: GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS family.

use super::{find, point, unit, write_distance};
use crate::base::num;
use crate::command::args::{Args, Cursor};
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::zset::{store_at, write_member};
use crate::resp::reply::Reply;
use crate::value::entry::Entry;
use crate::value::geohash::{Area, Point, Shape};
use crate::value::packed::Elem;
use crate::value::zset::large::entry_of;
use crate::value::zset::{ScoreRange, Zset, ZsetRef};

const NO_MEMBER: Error = Error::new("ERR could not decode requested zset member");

/// Which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// GEORADIUS and GEORADIUSBYMEMBER: center and radius stand first, STORE may follow.
    Radius {
        by_member: bool,
        read_only: bool,
    },
    Search,
    SearchStore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Ascending,
    Descending,
}

/// What is asked for.
#[derive(Default)]
struct Request {
    center: Option<Point>,
    /// A center was named; without a key there is no telling where it is.
    has_center: bool,
    shape: Option<Shape>,
    /// Metres of the unit that distances are given in.
    metres: f64,
    with_coordinates: bool,
    with_distance: bool,
    with_hash: bool,
    order: Option<Order>,
    /// 0: all.
    count: usize,
    any: bool,
    /// The position of the key to store at.
    store: Option<usize>,
    store_distance: bool,
}

/// A point that was found.
struct Hit<'a> {
    member: Elem<'a>,
    score: f64,
    point: Point,
    /// In the unit of the request.
    distance: f64,
}

fn radius(rest: &mut Cursor<'_>) -> Result<(f64, f64), Error> {
    let radius = rest.next()?;
    let radius = num::parse_f64(radius).ok_or("ERR need numeric radius")?;
    if radius < 0.0 {
        return Err("ERR radius cannot be negative".into());
    }
    Ok((radius, unit(rest.next()?)?))
}

fn sides(rest: &mut Cursor<'_>) -> Result<(f64, f64, f64), Error> {
    let width = num::parse_f64(rest.next()?).ok_or("ERR need numeric width")?;
    let height = num::parse_f64(rest.next()?).ok_or("ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err("ERR height or width cannot be negative".into());
    }
    Ok((width, height, unit(rest.next()?)?))
}

impl Request {
    /// Reads all arguments; `set` is the value of the key, to find the center in.
    fn read(args: Args<'_>, kind: Kind, set: Option<ZsetRef<'_>>) -> Result<Request, Error> {
        let mut request = Request {
            metres: 1.0,
            ..Request::default()
        };
        let mut rest = match kind {
            Kind::Radius { by_member, .. } => {
                request.read_radius(args, by_member, set)?;
                args.cursor(if by_member { 5 } else { 6 })
            }
            Kind::Search => args.cursor(2),
            Kind::SearchStore => {
                request.store = Some(1);
                args.cursor(3)
            }
        };
        while !rest.done() {
            let known = request.read_plain(&mut rest)?
                || match kind {
                    Kind::Radius { read_only, .. } => !read_only && request.read_store(&mut rest),
                    Kind::Search => request.read_area(&mut rest, set)?,
                    Kind::SearchStore => {
                        let here = rest.word("STOREDIST");
                        request.store_distance |= here;
                        here || request.read_area(&mut rest, set)?
                    }
                };
            if !known {
                return Err(Error::SYNTAX);
            }
        }
        request.check(args, kind)?;
        Ok(request)
    }

    /// The center and the radius of the older commands.
    fn read_radius(
        &mut self,
        args: Args<'_>,
        by_member: bool,
        set: Option<ZsetRef<'_>>,
    ) -> Result<(), Error> {
        let mut rest = args.cursor(2);
        if by_member {
            // Without a key, what these arguments are does not matter.
            let Some(set) = set else { return Ok(()) };
            self.center = Some(find(set, rest.next()?).ok_or(NO_MEMBER)?);
        } else {
            self.center = Some(point(&mut rest)?);
        }
        let (radius, metres) = radius(&mut rest)?;
        self.metres = metres;
        self.shape = Some(Shape::Circle {
            radius: radius * metres,
        });
        Ok(())
    }

    /// Options that all commands have; false if the next argument is none of them.
    fn read_plain(&mut self, rest: &mut Cursor<'_>) -> Result<bool, Error> {
        if rest.word("WITHDIST") {
            self.with_distance = true;
        } else if rest.word("WITHHASH") {
            self.with_hash = true;
        } else if rest.word("WITHCOORD") {
            self.with_coordinates = true;
        } else if rest.word("ANY") {
            self.any = true;
        } else if rest.word("ASC") {
            self.order = Some(Order::Ascending);
        } else if rest.word("DESC") {
            self.order = Some(Order::Descending);
        } else if rest.left() > 1 && rest.word("COUNT") {
            let count = rest.int()?;
            if count <= 0 {
                return Err("ERR COUNT must be > 0".into());
            }
            self.count = usize::try_from(count).unwrap_or(usize::MAX);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn read_store(&mut self, rest: &mut Cursor<'_>) -> bool {
        let distance = rest.left() > 1 && rest.word("STOREDIST");
        let hash = !distance && rest.left() > 1 && rest.word("STORE");
        if distance || hash {
            self.store = Some(rest.at());
            self.store_distance = distance;
            return rest.next().is_ok();
        }
        false
    }

    /// Center and shape of the newer commands.
    fn read_area(
        &mut self,
        rest: &mut Cursor<'_>,
        set: Option<ZsetRef<'_>>,
    ) -> Result<bool, Error> {
        if !self.has_center && rest.left() > 1 && rest.word("FROMMEMBER") {
            self.has_center = true;
            let member = rest.next()?;
            if let Some(set) = set {
                self.center = Some(find(set, member).ok_or(NO_MEMBER)?);
            }
        } else if !self.has_center && rest.left() > 2 && rest.word("FROMLONLAT") {
            self.has_center = true;
            self.center = Some(point(rest)?);
        } else if self.shape.is_none() && rest.left() > 2 && rest.word("BYRADIUS") {
            let (radius, metres) = radius(rest)?;
            self.metres = metres;
            self.shape = Some(Shape::Circle {
                radius: radius * metres,
            });
        } else if self.shape.is_none() && rest.left() > 3 && rest.word("BYBOX") {
            let (width, height, metres) = sides(rest)?;
            self.metres = metres;
            let (width, height) = (width * metres, height * metres);
            self.shape = Some(Shape::Box { width, height });
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether all that was read goes together.
    fn check(&mut self, args: Args<'_>, kind: Kind) -> Result<(), Error> {
        let shows = self.with_distance || self.with_hash || self.with_coordinates;
        let of_search = !matches!(kind, Kind::Radius { .. });
        if self.store.is_some() && shows {
            let name = if of_search {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            let text = "is not compatible with WITHDIST, WITHHASH and WITHCOORD options";
            return Err(Error::text(format!("ERR {name} {text}")));
        }
        let one_of = |what: &str| {
            let mut text = format!("ERR exactly one of {what} can be specified for ").into_bytes();
            text.extend_from_slice(args.get(0));
            Error::bytes(text)
        };
        if of_search && !self.has_center {
            return Err(one_of("FROMMEMBER or FROMLONLAT"));
        }
        if of_search && self.shape.is_none() {
            return Err(one_of("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err("ERR the ANY argument requires COUNT argument".into());
        }
        // The first so many are the nearest, unless any will do.
        if self.count > 0 && !self.any && self.order.is_none() {
            self.order = Some(Order::Ascending);
        }
        Ok(())
    }

    /// The points of the set that are asked for, in order.
    fn search<'a>(&self, set: ZsetRef<'a>) -> Vec<Hit<'a>> {
        let mut hits = Vec::new();
        let (Some(center), Some(shape)) = (self.center, self.shape) else {
            return hits;
        };
        let area = Area { center, shape };
        let enough = if self.any { self.count } else { usize::MAX };
        let mut ranges = area.score_ranges();
        // The center's own range comes first: what is there is near, and enough if any will do.
        let own = center.bits() as f64;
        if let Some(at) = ranges.iter().position(|range| own < range.1) {
            ranges[..=at].rotate_right(1);
        }
        for (min, max) in ranges {
            let scores = ScoreRange {
                min,
                max,
                min_exclusive: false,
                max_exclusive: true,
            };
            for (member, score) in set.range(set.ranks(&scores), false) {
                if hits.len() == enough {
                    break;
                }
                let point = Point::of_score(score);
                if let Some(distance) = area.distance_m(&point) {
                    let distance = distance / self.metres;
                    hits.push(Hit {
                        member,
                        score,
                        point,
                        distance,
                    });
                }
            }
        }
        match self.order {
            None => {}
            Some(Order::Ascending) => hits.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Some(Order::Descending) => hits.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        }
        if self.count > 0 {
            hits.truncate(self.count);
        }
        hits
    }

    fn reply(&self, out: &mut Reply, hits: &[Hit<'_>]) {
        let parts = [self.with_distance, self.with_hash, self.with_coordinates];
        let extra = parts.iter().filter(|with| **with).count();
        out.array(hits.len());
        for hit in hits {
            if extra > 0 {
                out.array(1 + extra);
            }
            write_member(out, hit.member);
            if self.with_distance {
                write_distance(out, hit.distance);
            }
            if self.with_hash {
                out.int(hit.score as i64);
            }
            if self.with_coordinates {
                out.array(2);
                out.double(hit.point.longitude);
                out.double(hit.point.latitude);
            }
        }
    }

    /// What is stored for the points that were found.
    fn entries(&self, hits: &[Hit<'_>]) -> Vec<Entry> {
        let entry = |hit: &Hit<'_>| {
            let score = if self.store_distance {
                hit.distance
            } else {
                hit.score
            };
            hit.member.with_bytes(|member| entry_of(member, score))
        };
        hits.iter().map(entry).collect()
    }
}

fn run(ctx: &mut Ctx<'_>, kind: Kind) -> Outcome {
    let args = ctx.args;
    let (key, event) = match kind {
        Kind::SearchStore => (args.get(2), "geosearchstore"),
        _ => (args.get(1), "georadiusstore"),
    };
    let set = ctx.db.read_as::<Zset>(key)?;
    let request = Request::read(args, kind, set)?;
    let hits = set.map_or_else(Vec::new, |set| request.search(set));
    match request.store {
        Some(at) => {
            let entries = request.entries(&hits);
            let changes = entries.len();
            store_at(ctx, at, event, entries, changes)
        }
        None => {
            request.reply(ctx.out, &hits);
            Ok(())
        }
    }
}

pub(super) fn geosearch(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, Kind::Search)
}

pub(super) fn geosearchstore(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, Kind::SearchStore)
}

pub(super) fn georadius(ctx: &mut Ctx<'_>) -> Outcome {
    run(
        ctx,
        Kind::Radius {
            by_member: false,
            read_only: false,
        },
    )
}

pub(super) fn georadiusbymember(ctx: &mut Ctx<'_>) -> Outcome {
    run(
        ctx,
        Kind::Radius {
            by_member: true,
            read_only: false,
        },
    )
}

pub(super) fn georadius_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run(
        ctx,
        Kind::Radius {
            by_member: false,
            read_only: true,
        },
    )
}

pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run(
        ctx,
        Kind::Radius {
            by_member: true,
            read_only: true,
        },
    )
}
