export default function Page() {
  return <h1>{`Hello from node-next${process.env.NEXT_PUBLIC_GREETING ?? ""}`}</h1>;
}
