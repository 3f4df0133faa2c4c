//! The certificate as one HTML file that asks nobody for anything: light and dark, for a phone, a screen and paper.

use std::fmt::Write as _;

use pw_plan::prove::verdict::{Blasted, Tried, Verdict};

use super::told::kinds;
use super::{Certificate, Wall, chart};

const STYLE: &str = include_str!("page.css");

pub(crate) fn page(certificate: &Certificate) -> String {
    let Certificate { project, environment, proved, .. } = certificate;
    let (class, word) = if certificate.passed() { ("good", "Passed") } else { ("bad", "Failed") };
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>Isolation of {0} of {1}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header><p class=\"kicker\">Partywall certificate of isolation</p><h1>{0} of {1}</h1>\
         <p class=\"verdict {class}\"><strong>{word}</strong> {2}</p></header>\n",
        escaped(environment),
        escaped(project),
        escaped(&certificate.verdict())
    );
    text += &facts(certificate);
    if !proved.tried.is_empty() {
        text += &probes(&proved.tried);
    }
    if !proved.blasted.is_empty() {
        text += &blasts(certificate);
    }
    text += &walls(&certificate.walls);
    text + "</main>\n</body>\n</html>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn facts(certificate: &Certificate) -> String {
    let facts = &certificate.facts;
    let host = &facts.host;
    let docker = host.docker.as_deref().unwrap_or("unknown");
    let rows = [
        ("Date", format!("{}, {} s long", certificate.at, certificate.seconds)),
        ("Partywall", facts.partywall.to_owned()),
        (
            "Machine",
            format!(
                "{} processors, {} of memory, {} of {} of disk free",
                host.cpus, host.memory, host.disk_free, host.disk_total
            ),
        ),
        ("Kernel", facts.kernel.clone()),
        (
            "Docker",
            format!(
                "{docker}, Compose {}, control groups {:?}",
                host.compose.as_deref().unwrap_or("unknown"),
                host.cgroup
            ),
        ),
        ("Asked", facts.asked.clone().unwrap_or_else(|| "nothing: no blast was measured".to_owned())),
    ];
    let rows = rows.map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(&value)));
    format!("<dl>{}</dl>\n", rows.concat())
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Held => "good",
        Verdict::Absent | Verdict::Allowed => "plain",
        Verdict::Unproven | Verdict::Through => "bad",
    }
}

fn probes(tried: &[Tried]) -> String {
    let mut text = "<section><h2>Probes</h2>\n<p>Each was tried from inside every container beside production, in its own namespaces and \
         control group. The control is the same attempt from where it must succeed: without it, a failure proves nothing.</p>\n"
        .to_owned();
    for kind in kinds(tried) {
        let mine: Vec<&Tried> = tried.iter().filter(|one| one.probe.kind == kind).collect();
        let bad = mine.iter().filter(|one| !one.verdict().is_good()).count();
        let held = mine.iter().filter(|one| one.verdict() == Verdict::Held).count();
        let (open, note) = match bad {
            0 if held == 0 => ("", "not there, or allowed".to_owned()),
            0 => ("", format!("{held} of {} held, the rest is not there or allowed", mine.len())),
            _ => (" open", format!("{bad} of {} failed", mine.len())),
        };
        let note = if held == mine.len() && held > 0 { format!("all {held} held") } else { note };
        let class = if bad == 0 { "good" } else { "bad" };
        let _ = write!(
            text,
            "<details{open}><summary><span>{}</span> <span class=\"{class}\">{note}</span></summary>\n<table>\
             <thead><tr><th>What</th><th>Verdict</th><th>From beside production</th><th>Control</th></tr></thead><tbody>\n",
            escaped(kind.title())
        );
        text.extend(mine.into_iter().map(row));
        text += "</tbody></table></details>\n";
    }
    text + "</section>\n"
}

fn row(one: &Tried) -> String {
    let verdict = one.verdict();
    let why =
        one.probe.allowed.as_ref().map_or_else(String::new, |why| format!("<small>{}</small>", escaped(why)));
    format!(
        "<tr><td>{}</td><td class=\"{}\">{}{why}</td><td>{}</td><td>{} <small>{}</small></td></tr>\n",
        escaped(&one.probe.what),
        class(verdict),
        verdict.word(),
        from(one),
        escaped(&one.control.told),
        escaped(&one.probe.control.to_string()),
    )
}

/// Those who heard the same are told together.
fn from(one: &Tried) -> String {
    let mut groups: Vec<(bool, &str, Vec<&str>, f64)> = Vec::new();
    for (name, outcome) in &one.from {
        let known = groups
            .iter_mut()
            .find(|(reached, told, ..)| (*reached, *told) == (outcome.reached, outcome.told.as_str()));
        match known {
            Some((.., names, longest)) => {
                names.push(name);
                *longest = longest.max(outcome.milliseconds);
            }
            None => groups.push((outcome.reached, &outcome.told, vec![name], outcome.milliseconds)),
        }
    }
    let line = |(reached, told, names, longest): (bool, &str, Vec<&str>, f64)| {
        let who =
            if names.len() == one.from.len() { format!("all {}", names.len()) } else { names.join(", ") };
        let class = if reached && one.probe.allowed.is_none() { " class=\"bad\"" } else { "" };
        format!("<div{class}>{} <small>{}, {longest:.0} ms</small></div>", escaped(told), escaped(&who))
    };
    groups.into_iter().map(line).collect()
}

fn blasts(certificate: &Certificate) -> String {
    let held = &certificate.held;
    let limit = match held.p99 {
        Some(p99) => format!("The objective is a p99 of {p99:.0} ms."),
        None => format!(
            "{:.2} times the p99 of alone are borne, or as much as alone differs from itself.",
            held.ratio
        ),
    };
    let mut text = format!(
        "<section><h2>Blasts</h2>\n<p>Production was asked by the clock while development did its worst, in rounds: alone, blast, alone, … \
         Latency counts from when a request was due. {} The shaded part is how far alone is from itself on this machine; each mark is one \
         measurement.</p>\n<p class=\"legend\"><span class=\"alone\"></span> alone <span class=\"under\"></span> under the blast \
         <span class=\"floor\"></span> floor</p>\n",
        escaped(&limit)
    );
    let most = chart::most(&certificate.proved.blasted);
    for one in &certificate.proved.blasted {
        text += &blast(one, certificate, most);
    }
    text + &figures(certificate) + "</section>\n"
}

fn blast(one: &Blasted, certificate: &Certificate, most: f64) -> String {
    let hurt = one.hurt(&certificate.held);
    let (class, word) = match &hurt {
        Some(why) => ("bad", format!("hurt: {why}")),
        None if one.ratio() <= certificate.held.ratio.max(one.floor()) => ("good", "as alone".to_owned()),
        None => ("good", "slower, and within the objective".to_owned()),
    };
    let done: String = one.done.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect();
    format!(
        "<article><h3>{} <small>{}</small></h3><p><b>{:.1} ms</b> alone, <b>{:.1} ms</b> under it: {:.2} times, floor {:.2}. \
         <span class=\"{class}\">{}</span></p>{}<ul>{done}</ul></article>\n",
        escaped(&one.blast),
        escaped(&one.what),
        Blasted::p99(&one.alone),
        Blasted::p99(&one.under),
        one.ratio(),
        one.floor(),
        escaped(&word),
        chart::chart(one, most),
    )
}

fn figures(certificate: &Certificate) -> String {
    let mut text = "<details><summary><span>Every measurement</span> <span>milliseconds</span></summary><table class=\"figures\"><thead><tr><th>Blast</th><th></th>\
         <th>p50</th><th>p99</th><th>p99.9</th><th>Asked</th><th>Lost</th></tr></thead><tbody>\n"
        .to_owned();
    for one in &certificate.proved.blasted {
        for (word, slots) in [("alone", &one.alone), ("under", &one.under)] {
            for slot in slots {
                let _ = writeln!(
                    text,
                    "<tr><td>{}</td><td>{word}</td><td>{:.1}</td><td>{:.1}</td><td>{:.1}</td><td>{}</td><td>{}</td></tr>",
                    escaped(&one.blast),
                    slot.p50,
                    slot.p99,
                    slot.p999,
                    slot.requests,
                    slot.failed
                );
            }
        }
    }
    text += "</tbody></table></details>\n";
    for one in
        certificate.proved.blasted.iter().filter(|one| one.killed_beside + one.killed_in_production > 0)
    {
        let _ = writeln!(
            text,
            "<p>`{}`: the kernel killed {} processes beside production for memory, and {} of production.</p>",
            escaped(&one.blast),
            one.killed_beside,
            one.killed_in_production
        );
    }
    text
}

fn walls(walls: &[Wall]) -> String {
    let mut text = "<section><h2>The wall that was in force</h2>\n".to_owned();
    for wall in walls {
        let rules: Vec<String> = wall.rules.iter().map(|(name, count)| format!("{name} × {count}")).collect();
        let _ = writeln!(
            text,
            "<article><h3>{}</h3><dl><dt>Containers</dt><dd>{}</dd><dt>Control group</dt><dd>{}</dd><dt>Firewall</dt><dd>{}</dd>\
             <dt>Rules</dt><dd>{}</dd></dl></article>",
            escaped(&wall.environment),
            escaped(&wall.containers.join(", ")),
            escaped(wall.group.as_deref().unwrap_or("none")),
            escaped(wall.firewall.as_deref().unwrap_or("none")),
            escaped(&rules.join(", "))
        );
    }
    text + "</section>\n"
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_others_wrote_is_text_and_no_markup() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }
}
