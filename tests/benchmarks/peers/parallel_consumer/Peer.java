// Confluent's parallel-consumer: KEY order, 256 at once. https://github.com/confluentinc/parallel-consumer (README, "Core").
// What fails is thrown, and tried again after the default delay of a second ("Retries"); what the destination refuses for good
// is skipped by returning normally ("Skipping Records"): it has no dead letters.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.confluent.parallelconsumer.PCRetriableException;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.KafkaConsumer;

public class Peer {
  public static void main(String[] arguments) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", System.getenv("BOOTSTRAP"));
    properties.put("group.id", System.getenv("GROUP"));
    properties.put("auto.offset.reset", "earliest");
    properties.put("enable.auto.commit", "false");
    properties.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    properties.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
    Consumer<String, String> consumer = new KafkaConsumer<>(properties);
    var options =
        ParallelConsumerOptions.<String, String>builder()
            .ordering(ProcessingOrder.KEY)
            .maxConcurrency(256)
            .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
            .consumer(consumer)
            .build();
    ParallelStreamProcessor<String, String> processor =
        ParallelStreamProcessor.createEosStreamProcessor(options);
    processor.subscribe(List.of(System.getenv("TOPIC").split(",")));
    HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    ObjectMapper json = new ObjectMapper();
    URI url = URI.create(System.getenv("URL") + "/");
    processor.poll(
        context -> {
          try {
            JsonNode event = json.readTree(context.getSingleConsumerRecord().value());
            HttpRequest request =
                HttpRequest.newBuilder(url.resolve(event.get("path").asText()))
                    .header("Content-Type", "application/json")
                    .method("PATCH", HttpRequest.BodyPublishers.ofString(event.get("body").toString()))
                    .build();
            int status = http.send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
            if (status == 422) {
              return;
            }
            if (status != 200) {
              throw new PCRetriableException("HTTP " + status);
            }
          } catch (java.io.IOException | InterruptedException error) {
            throw new PCRetriableException("no answer", error);
          }
        });
  }
}
