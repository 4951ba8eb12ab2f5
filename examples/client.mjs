// Starts a service, and prints every change of one: node client.mjs wss://BOARD:6500 SERVICE
//
// Needs Node 22 and nothing else. NODE_EXTRA_CA_CERTS names the certificate of the board, TOKEN is a token of its
// configuration file.

const [board, service] = process.argv.slice(2);
const session = process.env.TOKEN;
const socket = new WebSocket(`${board}/fcws`, "FC-protocol");

function send(type, data) {
  socket.send(JSON.stringify({ type, data }));
}

function end(message) {
  console.error(message);
  process.exitCode = 1;
  socket.close();
}

socket.onopen = () => {
  // From here on the board sends every change, so none is missed.
  send("con", { sessionId: session });
  const path = `system.library/services/${service}/start`;
  send("msg", { type: "request", requestid: "1", path, data: {}, sessionid: session });
};

socket.onmessage = ({ data: text }) => {
  const { type, data, requestid } = JSON.parse(text).data;
  if (type === "response" && requestid === "1") {
    // The content is JSON, or a text such as `fail<!--separate-->{..}`.
    if (data.Status !== "ok") end(`${service}: ${data}`);
  } else if (type === "service-change") {
    console.log(data.service, data.state);
  }
};

socket.onerror = () => end(`${board}: no connection`);
