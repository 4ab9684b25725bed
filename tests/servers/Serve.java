import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.net.InetSocketAddress;
import java.util.List;

/** A server that speaks MongoDB's protocol: java -cp 'LIB/*' Serve.java FILE PORT. Ends when its standard input does. */
class Serve {
    static final MongoVersion VERSION = new MongoVersion() {
        public List<Integer> getVersionArray() { return List.of(4, 4, 0); }
        public int getWireVersion() { return 9; } // PyMongo asks for 9; the server's own constants end at 8
        public String toVersionString() { return "4.4.0"; }
    };

    public static void main(String[] arguments) throws Exception {
        MongoServer server = new MongoServer(new H2Backend(arguments[0]).version(VERSION));
        server.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[1])));
        while (System.in.read() >= 0) { }
        server.shutdown();
    }
}
