// An OPC UA server (node-opcua) that a test drives by lines of JSON on standard input; run as a program.
//
// Usage: node opcua_node_server.js PORT. Namespace `urn:test:press`; below Objects/Press: `V0` to `V99` of type Double,
// and one node of each kind. `Precise` carries picoseconds, in which the order of the stream differs from that of the
// mask's bits. Every command is answered by one line; `ready` is the first line.
"use strict";
console.log = console.error; // standard output is for answers
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const { OPCUAServer } = require("node-opcua-server");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { Variant, DataType } = require("node-opcua-variant");
const { DataValue } = require("node-opcua-data-value");
const { StatusCodes } = require("node-opcua-status-code");

const DOUBLES = 100;
const SOURCE_TIME = new Date(Date.UTC(2024, 0, 2, 3, 4, 5, 678));

async function main(port) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "edge-agent-node-opcua-"));
    const certificates = new OPCUACertificateManager({ rootFolder: folder, automaticallyAcceptUnknownCertificate: true });
    await certificates.initialize();
    const server = new OPCUAServer({
        port,
        hostname: "127.0.0.1",
        serverCertificateManager: certificates,
        userCertificateManager: certificates,
        securityModes: [MessageSecurityMode.None],
        securityPolicies: [SecurityPolicy.None],
        disableDiscovery: true,
        serverCapabilities: { operationLimits: { maxMonitoredItemsPerCall: 7, maxNodesPerRead: 50 } },
    });
    await server.initialize();
    const space = server.engine.addressSpace;
    const namespace = space.registerNamespace("urn:test:press");
    const press = namespace.addObject({ browseName: "Press", nodeId: "s=Press", organizedBy: space.rootFolder.objects });
    const nodes = {};

    const add = (name, dataType, value) => {
        nodes[name] = namespace.addVariable({
            browseName: name,
            nodeId: `s=Press.${name}`,
            componentOf: press,
            dataType,
            minimumSamplingInterval: 0,
        });
        nodes[name].setValueFromSource(new Variant({ dataType, value }), StatusCodes.Good, SOURCE_TIME);
    };
    for (let number = 0; number < DOUBLES; number += 1) add(`V${number}`, DataType.Double, number);
    add("Running", DataType.Boolean, true);
    add("Count", DataType.Int32, -7);
    add("Level", DataType.Float, 1.5);
    add("Product", DataType.String, "HSG-100");
    add("State", DataType.LocalizedText, { text: "Executing", locale: "en" });
    add("Started", DataType.DateTime, SOURCE_TIME);
    nodes.Precise = namespace.addVariable({
        browseName: "Precise",
        nodeId: "s=Press.Precise",
        componentOf: press,
        dataType: "Double",
        minimumSamplingInterval: 100,
        value: {
            timestamped_get: () =>
                new DataValue({
                    value: new Variant({ dataType: DataType.Double, value: 2.5 }),
                    sourceTimestamp: SOURCE_TIME,
                    sourcePicoseconds: 4200,
                    serverTimestamp: SOURCE_TIME,
                    serverPicoseconds: 100,
                }),
        },
    });
    await server.start();

    const obey = ({ do: what, name, value, status }) => {
        if (what === "add") add(name, DataType.Double, value);
        else if (what === "set") {
            const dataType = DataType[DataType[nodes[name].dataType.value]] ?? DataType.Double;
            const code = status ? StatusCodes.BadNoCommunication : StatusCodes.Good;
            nodes[name].setValueFromSource(new Variant({ dataType, value }), code, new Date());
        } else throw new Error(what);
        return null;
    };
    process.stdout.write("ready\n");
    for await (const line of readline.createInterface({ input: process.stdin })) {
        process.stdout.write(`${JSON.stringify(obey(JSON.parse(line)))}\n`);
    }
    await server.shutdown(0);
    fs.rmSync(folder, { recursive: true, force: true });
    process.exit(0);
}

main(Number(process.argv[2]));
