import fastify from "fastify";

const app = fastify();
app.get("/", (): string => "Hello from node-yarn\n");
void app.listen({ host: "0.0.0.0", port: Number(process.env.PORT ?? 3000) });
