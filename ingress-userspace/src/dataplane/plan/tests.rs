use std::net::Ipv4Addr;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::config::{NewFlowBudget as BudgetConfig, PortConfig, PortProtocol};

const PLACEMENT: Placement<'static> = Placement { workers: &[0, 1], cpus: 2 };

fn vip(name: &str, addresses: &[&str]) -> VipConfig {
    VipConfig {
        name: name.to_owned(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ports: vec![
            PortConfig { port: 80, protocol: PortProtocol::Http },
            PortConfig { port: 443, protocol: PortProtocol::Https },
        ],
        interfaces: Vec::new(),
        allow: Vec::new(),
        deny: Vec::new(),
        new_flow_budget: None,
    }
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn next(current: &Plan, vips: &[VipConfig]) -> Plan {
    current.next(vips, &Steering::default(), PLACEMENT).unwrap()
}

fn value<'a>(plan: &'a Plan, address: &str) -> &'a VipValue {
    &plan.vips[&address.parse::<IpAddr>().unwrap()]
}

/// The maps, changed step by step.
fn apply(maps: &mut Plan, step: &Operation) {
    match step.clone() {
        Operation::Settings(settings) => maps.settings = settings,
        Operation::CpuWorker { cpu, worker } => {
            let cpu = cpu as usize;
            maps.cpu_worker.resize(maps.cpu_worker.len().max(cpu + 1), NO_WORKER);
            maps.cpu_worker[cpu] = worker;
        }
        Operation::ResetCounters { id } => {
            assert!(!maps.ids().contains(&id), "counters of a VIP in use were reset");
        }
        Operation::InsertRule { rule, verdict } => drop(maps.rules.insert(rule, verdict)),
        Operation::PutVip { address, value } => drop(maps.vips.insert(address, value)),
        Operation::AddRoute { address } => assert!(maps.routes.insert(address)),
        Operation::RemoveRoute { address } => assert!(maps.routes.remove(&address)),
        Operation::RemoveVip { address } => assert!(maps.vips.remove(&address).is_some()),
        Operation::RemoveRule { rule } => assert!(maps.rules.remove(&rule).is_some()),
    }
}

/// What the kernel does with a source: the longest match, else the VIP's default.
fn admits(plan: &Plan, value: &VipValue, source: IpAddr) -> bool {
    let rules = if value.has(VIP_RULES) { plan.rule_set(value.acl) } else { Vec::new() };
    let longest = rules
        .iter()
        .filter(|(net, _)| net.contains(&source))
        .max_by_key(|(net, _)| net.prefix_len());
    match longest {
        Some((_, verdict)) => *verdict == RuleVerdict::Allow,
        None => !value.has(VIP_DEFAULT_DENY),
    }
}

#[test]
fn addresses_of_a_vip_share_its_counters_and_rules() {
    let mut web = vip("web", &["203.0.113.80", "2001:db8::80"]);
    web.deny = nets(&["198.51.100.0/24", "2001:db8:bad::/48"]);
    let plan = next(&Plan::default(), &[web, vip("other", &["203.0.113.81"])]);
    let (v4, v6) = (value(&plan, "203.0.113.80"), value(&plan, "2001:db8::80"));
    assert_eq!(v4, v6);
    assert_ne!(v4.id, value(&plan, "203.0.113.81").id);
    assert_eq!(plan.rule_set(v4.acl).len(), 2);
    assert!(v4.has(VIP_RULES) && !v4.has(VIP_DEFAULT_DENY));
    assert_eq!(plan.routes.len(), 3);
}

#[test]
fn an_unchanged_configuration_needs_no_step() {
    let mut web = vip("web", &["203.0.113.80"]);
    web.allow = nets(&["198.51.100.0/24"]);
    let plan = next(&Plan::default(), &[web.clone()]);
    let again = next(&plan, &[web]);
    assert_eq!(plan.steps(&again), []);
}

#[test]
fn a_changed_rule_set_gets_a_new_number_and_the_vip_is_switched_between() {
    let mut web = vip("web", &["203.0.113.80"]);
    web.deny = nets(&["198.51.100.0/24"]);
    let before = next(&Plan::default(), &[web.clone()]);
    web.deny = nets(&["198.51.100.0/24", "192.0.2.0/24"]);
    let after = next(&before, &[web]);
    let steps = before.steps(&after);
    let kinds: Vec<&str> = steps
        .iter()
        .map(|step| match step {
            Operation::InsertRule { .. } => "insert",
            Operation::PutVip { .. } => "put",
            Operation::RemoveRule { .. } => "remove",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["insert", "insert", "put", "remove"]);
}

#[test]
fn counters_follow_the_vip_and_a_new_vip_starts_at_zero() {
    let (one, two) = (vip("one", &["203.0.113.1"]), vip("two", &["203.0.113.2"]));
    let before = next(&Plan::default(), &[one, two]);
    let moved = vip("two", &["203.0.113.22"]);
    let after = next(&before, &[moved, vip("three", &["203.0.113.3"])]);
    assert_eq!(value(&before, "203.0.113.2").id, value(&after, "203.0.113.22").id);
    let resets: Vec<Operation> = before
        .steps(&after)
        .into_iter()
        .filter(|step| matches!(step, Operation::ResetCounters { .. }))
        .collect();
    assert_eq!(resets, [Operation::ResetCounters { id: value(&after, "203.0.113.3").id }]);
    // A plan that was read from the maps knows no names.
    let read = Plan { names: BTreeMap::new(), ..before.clone() };
    let kept = next(&read, &[vip("renamed", &["203.0.113.1"])]);
    assert_eq!(value(&kept, "203.0.113.1").id, value(&before, "203.0.113.1").id);
}

#[test]
fn at_full_size_a_new_vip_takes_the_counters_of_the_one_that_goes() {
    let address = |n: u32| Ipv4Addr::from_bits(0xcb00_7100 + n).to_string();
    let all: Vec<VipConfig> =
        (0..MAX_VIPS).map(|n| vip(&format!("vip{n}"), &[&address(n)])).collect();
    let before = next(&Plan::default(), &all);
    let mut changed = all[..511].to_vec();
    changed.insert(0, vip("new", &["192.0.2.1"]));
    let after = next(&before, &changed);
    assert_eq!(value(&after, "192.0.2.1").id, value(&before, &address(511)).id);
    assert_eq!(value(&after, &address(0)).id, value(&before, &address(0)).id);
    let resets = before.steps(&after);
    let resets = resets.iter().filter(|step| matches!(step, Operation::ResetCounters { .. }));
    assert_eq!(resets.count(), 1);
}

#[test]
fn a_removed_vip_loses_its_route_before_it_leaves_the_table() {
    let mut web = vip("web", &["203.0.113.80"]);
    web.allow = nets(&["198.51.100.0/24"]);
    let before = next(&Plan::default(), &[web]);
    let address: IpAddr = "203.0.113.80".parse().unwrap();
    let steps = before.steps(&next(&before, &[]));
    assert!(matches!(
        steps[..],
        [
            Operation::RemoveRoute { address: route },
            Operation::RemoveVip { address: vip },
            Operation::RemoveRule { .. }
        ] if route == address && vip == address
    ));
}

#[test]
fn an_allow_list_that_is_denied_as_a_whole_admits_nobody() {
    let mut web = vip("web", &["203.0.113.80"]);
    web.allow = nets(&["198.51.100.0/24"]);
    web.deny = nets(&["198.51.0.0/16"]);
    let plan = next(&Plan::default(), &[web]);
    let value = value(&plan, "203.0.113.80");
    for source in ["198.51.100.1", "192.0.2.1", "2001:db8::1"] {
        assert!(!admits(&plan, value, source.parse().unwrap()), "{source}");
    }
}

#[test]
fn settings_come_from_the_configuration_and_keep_seed_and_generation() {
    let current = Plan {
        settings: Settings { seed: 7, generation: 3, ..Settings::default() },
        ..Plan::default()
    };
    let steering =
        Steering { cpumap: 64, event_sample: 100, listener_grace: Duration::from_millis(1500) };
    let settings = current.next(&[], &steering, PLACEMENT).unwrap().settings;
    assert_eq!((settings.seed, settings.generation), (7, 3));
    assert_eq!((settings.grace, settings.sample), (1_500_000_000, 100));
    assert_eq!((settings.workers, settings.spread), (2, 2));
}

#[test]
fn a_budget_is_charged_only_where_it_is_configured() {
    let mut web = vip("web", &["203.0.113.80"]);
    web.new_flow_budget = Some(BudgetConfig { per_second: 100, burst: 50 });
    let plan = next(&Plan::default(), &[web, vip("free", &["203.0.113.81"])]);
    let budget = value(&plan, "203.0.113.80").budget;
    assert_eq!((budget.cost, budget.burst), (10_000_000, 500_000_000));
    assert!(!value(&plan, "203.0.113.81").has(VIP_BUDGET));
}

#[rstest]
#[case::one_each(&[0, 1], 2, &[0, 1])]
#[case::cpuset_of_a_larger_machine(&[2, 3], 6, &[0, 1, 0, 1, 0, 1])]
#[case::more_workers_than_cpus(&[0, 0, 1], 3, &[NO_WORKER, 2, NO_WORKER])]
#[case::no_worker(&[], 2, &[NO_WORKER, NO_WORKER])]
fn cpus_prefer_their_own_worker(
    #[case] workers: &[u32],
    #[case] cpus: u32,
    #[case] expected: &[u32],
) {
    assert_eq!(cpu_workers(workers, cpus), expected);
}

#[test]
fn what_does_not_fit_is_refused_with_its_name() {
    let refused = |vips: &[VipConfig]| {
        Plan::default().next(vips, &Steering::default(), PLACEMENT).unwrap_err()
    };
    let twice = refused(&[vip("a", &["203.0.113.80"]), vip("b", &["::ffff:203.0.113.80"])]);
    assert_eq!(
        twice.to_string(),
        "203.0.113.80 belongs to VIP a and to VIP b: give it to one of them"
    );
    let mut many = vip("web", &["203.0.113.80"]);
    many.ports = (1..=9).map(|port| PortConfig { port, protocol: PortProtocol::Http }).collect();
    assert_eq!(refused(&[many]), PlanError::TooManyPorts { vip: "web".to_owned(), count: 9 });
    let vips: Vec<VipConfig> = (0..513)
        .map(|n| vip(&format!("vip{n}"), &[&Ipv4Addr::from_bits(0xcb00_7100 + n).to_string()]))
        .collect();
    assert_eq!(refused(&vips), PlanError::TooManyVips { count: 513 });
    next(&Plan::default(), &vips[..512]);
    let mut crowded = vip("web", &["203.0.113.80"]);
    crowded.deny = (0..=MAX_RULES)
        .map(|n| IpNet::new(Ipv4Addr::from_bits(n << 1).into(), 32).unwrap())
        .collect();
    assert_eq!(refused(&[crowded]), PlanError::TooManyRules { count: MAX_RULES as usize + 1 });
    let workers = vec![0; 129];
    let placement = Placement { workers: &workers, cpus: 1 };
    let many = Plan::default().next(&[], &Steering::default(), placement).unwrap_err();
    assert_eq!(many, PlanError::TooManyWorkers { count: 129 });
}

/// Networks and sources from few bits, so that they meet.
fn network() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (0u32..16, 28u8..=32).prop_map(|(bits, length)| {
            IpNet::new(Ipv4Addr::from_bits(0xc000_0200 | bits).into(), length).unwrap()
        }),
        (0u128..16, 124u8..=128).prop_map(|(bits, length)| {
            let address = std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits);
            IpNet::new(address.into(), length).unwrap()
        }),
        Just("0.0.0.0/0".parse().unwrap()),
        Just("::/0".parse().unwrap()),
    ]
}

fn sources() -> Vec<IpAddr> {
    let v4 = (0u32..16).map(|bits| Ipv4Addr::from_bits(0xc000_0200 | bits).into());
    let v6 = (0u128..16).map(|bits| std::net::Ipv6Addr::from_bits(0x2001_0db8 << 96 | bits).into());
    v4.chain(v6).chain(["10.0.0.1".parse().unwrap(), "fe80::1".parse().unwrap()]).collect()
}

fn vip_config() -> impl Strategy<Value = VipConfig> {
    let lists = || prop::collection::vec(network(), 0..4);
    (0u8..4, 0u8..4, any::<bool>(), lists(), lists()).prop_map(|(name, last, v6, allow, deny)| {
        let mut config = vip(&format!("vip{name}"), &[&format!("203.0.113.{last}")]);
        if v6 {
            config.addresses.push(format!("2001:db8:1::{last}").parse().unwrap());
        }
        VipConfig { allow, deny, ..config }
    })
}

fn configurations() -> impl Strategy<Value = Vec<VipConfig>> {
    prop::collection::vec(vip_config(), 0..4).prop_map(|mut vips| {
        let mut seen = BTreeSet::new();
        vips.retain(|vip| {
            seen.insert(vip.name.clone()) & seen.insert(vip.addresses[0].to_string())
        });
        vips
    })
}

proptest! {
    #[test]
    fn longest_match_on_the_result_is_deny_first(
        allow in prop::collection::vec(network(), 0..6),
        deny in prop::collection::vec(network(), 0..6),
    ) {
        let rules = flatten(&allow, &deny);
        for source in sources() {
            let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&source));
            let naive = !within(&deny) && (allow.is_empty() || within(&allow));
            let longest = rules
                .iter()
                .filter(|(net, _)| net.contains(&source))
                .max_by_key(|(net, _)| net.prefix_len());
            let admitted = match longest {
                Some((_, verdict)) => *verdict == RuleVerdict::Allow,
                None => allow.is_empty(),
            };
            prop_assert_eq!(admitted, naive, "{} by {:?}", source, rules);
        }
        let mut nets: Vec<IpNet> = rules.iter().map(|(net, _)| *net).collect();
        nets.dedup();
        prop_assert_eq!(nets.len(), rules.len(), "one rule per network");
    }

    #[test]
    fn no_step_mixes_old_rules_with_new_ones(
        configs in prop::collection::vec(configurations(), 1..4),
    ) {
        let mut maps = Plan::default();
        for vips in configs {
            let before = Plan { names: maps.names.clone(), ..maps.clone() };
            let after = next(&before, &vips);
            for step in before.steps(&after) {
                apply(&mut maps, &step);
                for (address, old) in &before.vips {
                    let Some(new) = after.vips.get(address) else { continue };
                    let now = &maps.vips[address];
                    prop_assert!(now == old || now == new);
                    for source in sources() {
                        let admitted = admits(&maps, now, source);
                        let as_old = now == old && admitted == admits(&before, old, source);
                        let as_new = now == new && admitted == admits(&after, new, source);
                        prop_assert!(as_old || as_new, "{} to {} after {:?}", source, address, step);
                    }
                }
                for route in &maps.routes {
                    prop_assert!(maps.vips.contains_key(route), "{} has a route but no rule", route);
                }
            }
            maps.names = after.names.clone();
            prop_assert_eq!(&maps, &after);
        }
    }
}
