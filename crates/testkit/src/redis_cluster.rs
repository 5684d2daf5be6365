//! A private Redis Cluster.

use crate::{Redis, TestkitError, free_port};

const NODES: u16 = 3;
/// Redis Cluster divides all keys into so many slots.
const SLOTS: u16 = 16_384;

/// Three servers that share the keys among them, without replicas. They end when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the servers, gives each a third of the slots and waits until all agree.
    pub fn start() -> Result<Self, TestkitError> {
        let nodes: Vec<Redis> = (0..NODES).map(|_| node()).collect::<Result<_, _>>()?;
        for (index, node) in (0..NODES).zip(&nodes) {
            let (from, to) = slots(index);
            node.ask_until(&format!("CLUSTER ADDSLOTSRANGE {from} {to}"), "+OK")?;
            // Else two that both think to be the first would have to find out.
            node.ask_until(&format!("CLUSTER SET-CONFIG-EPOCH {}", index + 1), "+OK")?;
        }
        let (first, others) = nodes.split_first().expect("there are three");
        for node in others {
            let (port, bus) = (node.port(), bus(node)?);
            first.ask_until(&format!("CLUSTER MEET 127.0.0.1 {port} {bus}"), "+OK")?;
        }
        let cluster = Self { nodes };
        cluster.wait()?;
        Ok(cluster)
    }

    /// The servers; each has the next third of the slots.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// `127.0.0.1:port` of each server, separated by commas.
    pub fn addresses(&self) -> String {
        let addresses: Vec<String> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        addresses.join(",")
    }

    /// Waits until every server says that the cluster is whole.
    pub fn wait(&self) -> Result<(), TestkitError> {
        for node in &self.nodes {
            node.ask_until("CLUSTER INFO", "cluster_state:ok")?;
            node.ask_until("CLUSTER INFO", &format!("cluster_known_nodes:{NODES}"))?;
        }
        Ok(())
    }

    /// Gives a slot that holds no keys to another server. Servers other than the two learn of it later, as in life.
    pub fn move_slot(&self, slot: u16, to: usize) -> Result<(), TestkitError> {
        let from = (0..NODES)
            .position(|index| slot <= slots(index).1)
            .unwrap_or_default();
        let answer = self.nodes[to]
            .ask("CLUSTER MYID")
            .map_err(TestkitError::system("ask redis for its id"))?;
        let id = answer.lines().nth(1).unwrap_or_default().to_owned();
        for index in [to, from] {
            self.nodes[index].ask_until(&format!("CLUSTER SETSLOT {slot} NODE {id}"), "+OK")?;
        }
        Ok(())
    }
}

fn slots(index: u16) -> (u16, u16) {
    let start = |index: u16| u32::from(index) * u32::from(SLOTS) / u32::from(NODES);
    (start(index) as u16, (start(index + 1) - 1) as u16)
}

fn node() -> Result<Redis, TestkitError> {
    Redis::start_with(|_| {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--cluster-port",
            &free_port().to_string(),
        ];
        Ok(arguments.map(str::to_owned).to_vec())
    })
}

/// The port on which the servers talk with each other.
fn bus(node: &Redis) -> Result<u16, TestkitError> {
    let answer = node
        .ask("CONFIG GET cluster-port")
        .map_err(TestkitError::system("ask redis for its cluster port"))?;
    let port = answer.lines().last().and_then(|port| port.parse().ok());
    port.ok_or_else(|| TestkitError::Failed {
        program: "CONFIG GET cluster-port".to_owned(),
        output: answer,
    })
}
